"""The system calls that no program needs, as BPF for the zygote to load; made by libseccomp, once per process.

Denied calls fail with EPERM, a call of a foreign ABI (32 bit, x32) ends the process. What a capability guards (mount,
setns) is open here, since the zygote sets up each job after the filter was loaded; a program has no capability, and
cannot get one: no new user namespace, no new privilege.
"""

import errno
import functools
import os
import tempfile
from typing import Any

CLONE_THREAD, CLONE_NEWUSER = 0x00010000, 0x10000000
S_IFMT, S_IFCHR, S_IFBLK = 0o170000, 0o020000, 0o060000
AF_UNIX, TIOCSTI, TIOCLINUX = 1, 0x5412, 0x541C
SOL_SOCKET, BUFFER_SIZES = 1, (7, 8, 32, 33)  # SO_SNDBUF, SO_RCVBUF, and those of root

_NAMES = """
ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd
fsopen fsconfig fsmount fspick move_mount open_tree mount_setattr pivot_root chroot umount2
keyctl add_key request_key bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register
memfd_create memfd_secret shmget shmat shmctl msgget msgsnd msgrcv msgctl semget semop semctl semtimedop
mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
name_to_handle_at open_by_handle_at fanotify_init fanotify_mark inotify_init inotify_init1 lookup_dcookie
kexec_load kexec_file_load init_module finit_module delete_module create_module get_kernel_syms query_module
reboot swapon swapoff acct quotactl quotactl_fd settimeofday clock_settime clock_adjtime adjtimex stime
sethostname setdomainname iopl ioperm modify_ldt personality syslog vmsplice vhangup uselib ustat sysfs
nfsservctl move_pages migrate_pages mbind set_mempolicy set_mempolicy_home_node get_mempolicy
setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups
pkey_alloc pkey_free remap_file_pages ioprio_set
"""
DENIED = _NAMES.split()

OF_ITSELF_ONLY = ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr")


@functools.cache
def programs() -> tuple[bytes, bytes]:
    """(the filter of the cell, the filter of a program that may have threads but no processes)."""
    return _exported(_whole), _exported(_no_fork)


def _whole(seccomp: Any) -> Any:
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    rules.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)
    denied = seccomp.ERRNO(errno.EPERM)
    for name in DENIED:
        _add(rules, denied, name)
    for name in OF_ITSELF_ONLY:
        _add(rules, denied, name, seccomp.Arg(0, seccomp.NE, 0))
    for argument in (0, 1):  # PRIO_PROCESS, itself
        _add(rules, denied, "setpriority", seccomp.Arg(argument, seccomp.NE, 0))
    _add(rules, seccomp.ERRNO(errno.ENOSYS), "clone3")  # its flags cannot be read here; libc goes back to clone
    for name in ("clone", "unshare"):
        _add(rules, denied, name, seccomp.Arg(0, seccomp.MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER))
    for name in ("socket", "socketpair"):
        _add(rules, denied, name, seccomp.Arg(0, seccomp.NE, AF_UNIX))
    for option in BUFFER_SIZES:  # what waits in a socket is no memory of the program
        _add(rules, denied, "setsockopt", seccomp.Arg(1, seccomp.EQ, SOL_SOCKET), seccomp.Arg(2, seccomp.EQ, option))
    for kind in (S_IFCHR, S_IFBLK):
        _add(rules, denied, "mknod", seccomp.Arg(1, seccomp.MASKED_EQ, S_IFMT, kind))
        _add(rules, denied, "mknodat", seccomp.Arg(2, seccomp.MASKED_EQ, S_IFMT, kind))
    for request in (TIOCSTI, TIOCLINUX):
        _add(rules, denied, "ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, request))
    return rules


def _no_fork(seccomp: Any) -> Any:
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    refused = seccomp.ERRNO(errno.EAGAIN)
    for name in ("fork", "vfork"):
        _add(rules, refused, name)
    _add(rules, refused, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, CLONE_THREAD, 0))
    return rules


def _add(rules: Any, action: int, name: str, *arguments: Any) -> None:
    """A call that this libseccomp or this architecture does not have cannot be made by that name either."""
    try:
        rules.add_rule(action, name, *arguments)
    except (OSError, ValueError):
        return


def _exported(make: Any) -> bytes:
    import pyseccomp  # type: ignore[import-untyped]  # here: it searches for libseccomp as it is imported

    with tempfile.TemporaryFile() as file:
        make(pyseccomp).export_bpf(file)
        return os.pread(file.fileno(), 1 << 16, 0)
