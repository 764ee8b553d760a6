"""The few kernel calls that no library reaches: prctl, namespaces (before 3.12), mount, capset, seccomp, Landlock.

Runs inside the cell, x86_64 and aarch64. Every function raises OSError as `os` does. Sources: the manual pages of the
calls, linux/landlock.h and linux/capability.h.
"""

import ctypes
import os
import struct

NEWNS, NEWIPC, NEWPID = 0x00020000, 0x08000000, 0x20000000
NOSUID, NODEV, NOEXEC = 2, 4, 8
_SET_DUMPABLE, _GET_SECCOMP, _SET_SECCOMP, _SET_NO_NEW_PRIVS, _SET_CHILD_SUBREAPER = 4, 21, 22, 38, 36
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)
_holding = ctypes.PyDLL(None, use_errno=True)  # calls that keep the interpreter's lock


def fork() -> int:
    """As os.fork, without what Python does for its threads and hooks in the child: for a process with one thread only.

    That costs some fifty page faults a child, and there is nothing to mend: the one thread, which holds the
    interpreter's lock, is the one that goes on.
    """
    return _checked(_holding.fork())


def kill_all() -> bool:
    """SIGKILL to all that this process may reach but itself and pid 1 of the namespace; whether there were any."""
    return int(_libc.kill(-1, 9)) == 0


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def hide() -> None:
    """Not dumpable: no ptrace, no /proc/PID/mem, no core; and no privilege by exec from here on."""
    _checked(_libc.prctl(_SET_DUMPABLE, 0, None, 0, 0))
    _checked(_libc.prctl(_SET_NO_NEW_PRIVS, 1, None, 0, 0))


def adopt_orphans() -> None:
    """Daemons of a test become children of this process (where it is not pid 1 anyway)."""
    _checked(_libc.prctl(_SET_CHILD_SUBREAPER, 1, None, 0, 0))


def load_seccomp(program: bytes) -> None:
    """Load a filter: an array of `struct sock_filter` as libseccomp exports it. It holds for all descendants."""
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    _checked(_libc.prctl(_SET_SECCOMP, 2, header, 0, 0))


def unshare(flags: int) -> None:
    _checked(_libc.unshare(ctypes.c_int(flags)))


def setns(descriptor: int, kind: int) -> None:
    _checked(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)))


def mount(kind: str, where: str, flags: int, options: str) -> None:
    _checked(_libc.mount(kind.encode(), where.encode(), kind.encode(), flags, options.encode()))


def drop_capabilities() -> None:
    """Effective, permitted and inheritable (and so ambient) sets become empty."""
    header = struct.pack("Ii", 0x20080522, 0)
    _checked(_libc.capset(ctypes.c_char_p(header), ctypes.c_char_p(bytes(24))))


# -- Landlock --------------------------------------------------------------------------------------------------------

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
_MAKE_CHAR, _MAKE_BLOCK, _REFER, _TRUNCATE, _IOCTL_DEV = 1 << 6, 1 << 11, 1 << 13, 1 << 14, 1 << 15
READ = READ_FILE | READ_DIR
_ON_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE
_OF_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}


def landlock_version() -> int:
    """The ABI that the kernel offers; 0: no Landlock."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1))))


class Landlock:
    """A set of rules, made once and entered by many processes. `version` is the kernel's ABI (0: none)."""

    def __init__(self) -> None:
        self.version = landlock_version()
        if not self.version:
            return
        self._known = _OF_VERSION.get(self.version, (1 << 16) - 1)
        network = 3 if self.version >= 4 else 0  # TCP: bind and connect
        scopes = 3 if self.version >= 6 else 0  # abstract unix sockets and signals
        size = 8 if self.version < 4 else 16 if self.version < 6 else 24
        wanted = struct.pack("QQQ", self._known, network, scopes)
        self._rules = _checked(_libc.syscall(_CREATE_RULESET, wanted, ctypes.c_size_t(size), ctypes.c_uint(0)))

    def allow(self, path: str, access: int) -> None:
        """Allow `access` beneath `path`; what is not there needs no rule."""
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        if not os.path.isdir(path):
            access &= _ON_A_FILE
        rule = struct.pack("=Qi", access & self._known, place)
        _checked(_libc.syscall(_ADD_RULE, self._rules, ctypes.c_int(1), rule, ctypes.c_uint(0)))
        os.close(place)

    def everything_but_devices(self) -> int:
        """All that one may do in a scratch folder; nothing in it is executed."""
        return self._known & ~(EXECUTE | _MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)

    def enter(self) -> None:
        """From here on the calling process, and what it starts, is bound by the rules."""
        _checked(_libc.syscall(_RESTRICT_SELF, self._rules, ctypes.c_uint(0)))
