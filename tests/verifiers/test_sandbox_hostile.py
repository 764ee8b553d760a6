"""Programs that try to get out, to forge, to outlive or to exhaust: each is contained, and the next one works.

A probe calls `tried(name, function)` for each way out, and prints the names of those that led anywhere; the numbers of
system calls are those of x86_64.
"""

import os
import platform
import socket
import textwrap
from collections.abc import Iterator

import pytest

from verifiers.sandbox import Limits, Program, Run, Sandbox, Stdin

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of the system calls are x86_64's")

PRELUDE = textwrap.dedent("""
    import ctypes, os, sys
    libc, out = ctypes.CDLL(None, use_errno=True), []
    libc.syscall.restype = ctypes.c_long
    def call(number, *arguments):
        return libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    def tried(name, way):
        try:
            found = way()
        except (Exception, KeyboardInterrupt):
            return
        if found is not None and found is not False and not (type(found) is int and found < 0):
            out.append(name)
""")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as made:
        yield made


def run(sandbox: Sandbox, code: str, stdin: bytes = b"", **limits: object) -> Run:
    with sandbox.job(Program("python", code), Limits.from_json(limits)) as job:
        return job.run(Stdin(stdin))


CALLS = {  # that must not work; arguments that would be valid
    "ptrace": (101, 16, 1, 0, 0), "ptrace(TRACEME)": (101, 0, 0, 0, 0), "process_vm_writev": (311, 1, 0, 0, 0, 0, 0),
    "kcmp": (312, 1, 1, 0, 0, 0), "pidfd_getfd": (438, 0, 0, 0), "mount": (165, b"x", b"/tmp", b"tmpfs", 0, 0),
    "umount": (166, b"/tmp", 2), "pivot_root": (155, b"/tmp", b"/tmp"), "chroot": (161, b"/tmp"),
    "fsopen": (430, b"tmpfs", 0),
    "open_tree": (428, -100, b"/usr", 1), "unshare user": (272, 0x10000000), "unshare mount": (272, 0x20000),
    "unshare net": (272, 0x40000000), "unshare pid": (272, 0x20000000), "clone user": (56, 0x10000000 | 17, 0, 0, 0, 0),
    "clone3": (435, 0, 0), "setns": (308, 0, 0), "keyctl": (250, 0, -3, 1), "request_key": (249, b"user", b"x", 0, 0),
    "bpf": (321, 0, 0, 0), "perf_event_open": (298, 0, 0, -1, -1, 0), "userfaultfd": (323, 1), "io_uring": (425, 4, 0),
    "memfd_create": (319, b"x", 0), "memfd_secret": (447, 0), "shmget": (29, 0, 4096, 0o1600),
    "semget": (64, 0, 1, 0o1600),
    "msgget": (68, 0, 0o1600), "mq_open": (240, b"x", 0o102, 0o600, 0), "open_by_handle": (304, -100, 0, 0),
    "fanotify": (300, 0, 0), "kexec": (246, 0, 0, 0, 0), "init_module": (175, 0, 0, b""), "reboot": (169, 0, 0, 0, 0),
    "swapon": (167, b"/tmp/x", 0), "acct": (163, b"/tmp/x"), "quotactl": (179, 0, 0, 0, 0), "settimeofday": (164, 0, 0),
    "clock_settime": (227, 0, b"\0" * 16), "sethostname": (170, b"x", 1), "iopl": (172, 3), "ioperm": (173, 0, 1, 1),
    "modify_ldt": (154, 0, b"\0" * 16, 16), "personality": (135, 0x0040000), "syslog": (103, 10, 0, 0),
    "mknod": (133, b"/tmp/null", 0o20666, 0x103), "setuid": (105, 0), "setgroups": (116, 1, b"\0" * 4),
    "prlimit of the job": (302, 1, 7, b"\1" + b"\0" * 15, 0), "affinity of the job": (203, 1, 8, b"\1" + b"\0" * 7),
    "priority of the job": (141, 0, 1, 19),
}


def test_no_dangerous_system_call_works(sandbox: Sandbox) -> None:
    tries = [f"tried({name!r}, lambda: call({', '.join(map(repr, arguments))}))" for name, arguments in CALLS.items()]
    assert contained(run(sandbox, "\n".join([PRELUDE, *tries, "print(out)"])))


def contained(got: Run) -> bool:
    assert (got.outcome, got.stdout) == ("ran", b"[]\n"), got
    return True


PROBES = {
    "files of the host": """
        for path in ('/etc/passwd', '/etc/hostname', '/root', '/home', '/work', '/var', '/sys', '/boot', '/mnt', '/srv',
                     '/dev/mem', '/dev/kmsg', '/dev/vda', '/dev/ptmx', '/dev/tty', '/dev/fuse', '/proc/kcore',
                     '/proc/sys/kernel/hostname', '/proc/version', '/proc/self/root/etc/passwd', '/proc/1/root/etc'):
            tried(path, lambda: os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(10))
        """,
    "writing elsewhere": """
        for folder in ('/', '/usr', '/usr/lib', '/bin', '/dev', '/dev/shm', '/proc', '/proc/self', '/opt', '/run'):
            tried(folder, lambda: open(folder + '/x', 'w'))
        tried('chmod', lambda: os.chmod('/usr/bin/env', 0o777) or 1)
        tried('rename', lambda: os.rename('/usr/bin/env', '/usr/bin/x') or 1)
        tried('a link out', lambda: os.symlink('/etc/passwd', '/tmp/l') or open('/tmp/l').read())
        tried('a hard link', lambda: os.link('/usr/bin/env', '/tmp/env') or 1)
        """,
    "execution": """
        import subprocess
        tried('a shell', lambda: os.system('true') == 0)
        tried('env', lambda: subprocess.run(['/usr/bin/env']))
        tried('itself', lambda: os.execv(sys.executable, [sys.executable, '-c', 'print("[]")']))
        def own():
            with open('/tmp/x', 'w') as file: file.write('#!/bin/sh\\n')
            os.chmod('/tmp/x', 0o4755); return subprocess.run(['/tmp/x'])
        tried('a file of its own', own)
        tried('spawn', lambda: os.posix_spawn('/usr/bin/env', ['env'], {}))
        tried('fork', lambda: os.fork() or os._exit(0))
        """,
    "networks": """
        import socket
        for family in (2, 10, 16, 17, 38, 40, 1 << 8):
            for kind in (1, 2, 3, 5):
                tried((family, kind), lambda: socket.socket(family, kind))
        tried('pair', lambda: socket.socketpair(socket.AF_INET))
        for option in (7, 8, 32, 33):
            tried(('size of a buffer', option), lambda: socket.socket(socket.AF_UNIX).setsockopt(1, option, 9999) or 1)
        tried('abstract', lambda: socket.socket(socket.AF_UNIX).connect('\\0our-secret') or 1)
        tried('a socket of the system', lambda: socket.socket(socket.AF_UNIX).connect('/run/systemd/notify') or 1)
        """,
    "other processes": """
        for pid in [os.getppid(), 1, *range(3, 50)]:
            for name in ('mem', 'environ', 'maps', 'fd', 'root', 'cwd', 'stack', 'exe', 'ns/pid'):
                path = f'/proc/{pid}/{name}'
                tried(path, lambda: os.listdir(path) if name == 'fd' else open(path, 'rb').read(1) or None)
                tried(path, lambda: os.readlink(path) if name in ('root', 'cwd', 'exe') else None)
        tried('pidfd', lambda: call(438, os.pidfd_open(1), 0, 0))
        """,
    "secrets": """
        tried('environment', lambda: 'hunter' in str(dict(os.environ)) or None)
        tried('memory', lambda: any(b'hunter' + b'2' in open('/proc/self/environ', 'rb').read() for _ in '1') or None)
        tried('cmdline', lambda: b'hunter' + b'2' in open('/proc/1/cmdline', 'rb').read() or None)
        """,
    "capabilities": """
        import struct
        data = ctypes.create_string_buffer(24)
        call(125, struct.pack('Ii', 0x20080522, 0), data)
        tried('capabilities', lambda: any(data.raw) or None)
        tried('ambient', lambda: any(libc.prctl(47, 1, n, 0, 0) == 1 for n in range(41)) or None)
        tried('raise', lambda: call(126, struct.pack('Ii', 0x20080522, 0), struct.pack('6I', *[1 << 21] * 6)))
        tried('uid', lambda: 0 in os.getresuid() + os.getresgid() or os.getgroups() != [] or None)
        tried('dumpable', lambda: libc.prctl(3, 0, 0, 0, 0) == 1 or None)
        tried('new privileges', lambda: libc.prctl(39, 0, 0, 0, 0) != 1 or None)
        """,
    "limits": """
        import resource
        for name in ('AS', 'CPU', 'FSIZE', 'NPROC', 'NOFILE', 'CORE', 'MEMLOCK'):
            kind = getattr(resource, 'RLIMIT_' + name)
            soft, hard = resource.getrlimit(kind)
            tried(name, lambda: hard < 0 or resource.setrlimit(kind, (hard + 1, hard + 1)) or 1)
        tried('nice', lambda: os.nice(-5))
        """,
}


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_leads_nowhere(sandbox: Sandbox, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    with socket.socket(socket.AF_UNIX) as hidden:
        hidden.bind(f"\0our-secret{os.getpid()}")
        hidden.listen()
        code = textwrap.dedent(PROBES[name]).replace("our-secret", f"our-secret{os.getpid()}")
        assert contained(run(sandbox, f"{PRELUDE}{code}\nprint(out)"))


MACHINE_CODE = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex({code!r}))
print(ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())
"""


@pytest.mark.parametrize("code", [
    "b814000000cd80c3",  # int 0x80: getpid of the 32-bit table
    "b827000040" "0f05c3",  # getpid of x32
])
def test_a_foreign_table_of_system_calls_ends_the_program(sandbox: Sandbox, code: str) -> None:
    got = run(sandbox, MACHINE_CODE.format(code=code))
    assert (got.outcome, got.stdout) == ("runtime_error", b"")


NASTY = {  # program -> the outcomes that are right
    "import os\nfor n in [os.getppid(), *range(1, 40)]: os.kill(n, 9)": "ran runtime_error",
    "import os, signal\nos.kill(1, signal.SIGSTOP)": "ran runtime_error",
    "import os, signal\nfor n in range(1, 65): os.kill(1, n)": "ran runtime_error",
    "import os, signal\nos.kill(0, signal.SIGINT)\nimport time; time.sleep(0.1)": "runtime_error",
    "import os\nos.kill(-1, 9)": "ran runtime_error",
    "import os\nos.kill(os.getpid(), 19)": "timeout",
    "import os, time\nif os.fork(): os.kill(os.getpid(), 19)\nwhile True: pass": "runtime_error timeout",
    "import os\nos.close(1); os.close(2); os.close(0)": "ran runtime_error",
    "import os\nos.closerange(0, 100)\nwhile True: pass": "timeout",
    "import sys\nsys.setrecursionlimit(10**9)\nf = lambda: f()\nf()": "memory_limit runtime_error timeout",
    "import ctypes\nctypes.string_at(0)": "runtime_error",
    "import faulthandler\nfaulthandler._sigsegv()": "runtime_error",
    "import faulthandler\nfaulthandler._stack_overflow()": "runtime_error memory_limit",
    "import zlib\nzlib.decompress(zlib.compress(bytes(1 << 27), 1), bufsize=1 << 30)": "memory_limit ran",
    "x = 'a'\nwhile True: x += x": "memory_limit",
    "x = {}\nn = 0\nwhile True: x[n] = str(n); n += 1": "memory_limit timeout",
    "import mmap\nx = [mmap.mmap(-1, 1 << 26) for _ in range(99)]": "memory_limit runtime_error",
    "print(10 ** 10 ** 9)": "timeout memory_limit",
    "import re\nre.match('(a|a)*$', 'a' * 60 + 'b')": "timeout",
    "sum(range(10 ** 12))": "timeout",
    "try:\n    while True: pass\nfinally:\n    while True: pass": "timeout",
    "import atexit\n@atexit.register\ndef _():\n    while True: pass": "timeout",
    "class A:\n    def __del__(self):\n        while True: pass\nA()": "timeout",
    "import threading\ndef f():\n    while True: pass\nfor _ in '123': threading.Thread(target=f).start()": "timeout",
    "import sys\nsys.excepthook = 5\n1 / 0": "runtime_error",
    "import sys\nsys.stdout = sys.stderr = None\n1 / 0": "runtime_error",
    "import sys\ndel sys.modules['sys'], sys.stdout\nraise SystemExit(0)": "ran runtime_error",
    "import sys\nsys.modules.clear()": "ran runtime_error",
    "import builtins\nfor name in list(vars(builtins)): delattr(builtins, name)": "ran runtime_error",
    "import gc\nfor x in gc.get_objects():\n    if type(x) is dict and x is not globals(): x.clear()":
        "ran runtime_error timeout",
    "import os\nos._exit(70)": "runtime_error",
    "import sys\nsys.exit(2 ** 70)": "runtime_error ran",
    "raise BaseException": "runtime_error",
    "raise KeyboardInterrupt": "runtime_error",
    "raise GeneratorExit": "runtime_error",
    "import os\nos.truncate('/dev/stdout', 1 << 40)": "output_limit runtime_error",
    "import os\nos.lseek(1, 1 << 40, 0); os.write(1, b'x')": "output_limit runtime_error",
    "import os\nwhile True: os.write(1, b'x' * 9999)": "output_limit",
    "import signal, os\nsignal.signal(25, signal.SIG_IGN)\nwhile True:\n    try: os.write(1, b'x' * 99999)\n"
    "    except OSError: pass": "timeout output_limit",
    "n = 0\nwhile True: open(f'/tmp/{n}', 'w'); n += 1": "runtime_error",
    "import os\nfor n in range(10**6): os.makedirs(f'/tmp/{n}/a/b')": "runtime_error",
    "import os\nopen('/tmp/f', 'w'); os.truncate('/tmp/f', 1 << 40)": "output_limit runtime_error",
    "n = 0\nwhile True:\n    open(f'/tmp/{n}', 'wb').write(bytes(1 << 20)); n += 1": "runtime_error",
    "import os\nfds = []\nwhile True: fds.append(os.open('/dev/null', 0))": "runtime_error",
    "import os\nfds = []\nwhile True: fds.append(os.pipe())": "runtime_error",
    "#" * 5_000_000: "ran",
    "x = " + "+".join(["1"] * 200_000): "compile_error runtime_error timeout ran",
    "x = " + "[" * 150 + "]" * 150: "compile_error ran",
    "lambda: " * 3000 + "0": "compile_error runtime_error",
    "#coding: rot13\ncevag(1)": "compile_error runtime_error ran",
    "#coding: nonsense\n": "compile_error",
    "\ufeffprint(1)": "ran",
}


@pytest.mark.parametrize("code", NASTY, ids=lambda code: code[:50])
def test_a_nasty_program_gets_its_outcome_and_the_next_one_works(sandbox: Sandbox, code: str) -> None:
    got = run(sandbox, code, cpu_s=0.7, wall_s=2)
    assert got.outcome in NASTY[code].split(), got
    assert run(sandbox, "print(1)").stdout == b"1\n"


FAMILIES = {  # with processes allowed
    "fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "daemons": "import os, time\nfor _ in range(5):\n    if not os.fork():\n        os.setsid()\n"
               "        if os.fork(): os._exit(0)\n        time.sleep(99)\n",
    "a daemon with its output": "import os, time\nif not os.fork():\n    os.setsid()\n"
                                "    while True: os.write(1, b'x'); time.sleep(1)",
    "stopped children": "import os\nfor _ in range(4):\n    if not os.fork(): os.kill(os.getpid(), 19)",
    "zombies": "import os\ntry:\n    for _ in range(300):\n        if not os.fork(): os._exit(0)\nexcept OSError: pass",
    "threads": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
    "vfork": "import subprocess\nwhile True: subprocess.Popen(['sleep', '99'])",
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_of_processes_goes_with_its_program(sandbox: Sandbox, name: str) -> None:
    got = run(sandbox, FAMILIES[name], cpu_s=0.5, wall_s=2, processes=12, allow_fork=True)
    assert got.outcome in ("ran", "timeout", "runtime_error", "memory_limit"), got
    assert run(sandbox, "import os; print([n for n in os.listdir('/proc') if n.isdigit()])").stdout == b"['1', '2']\n"
    assert run(sandbox, "import os\nif os.fork() == 0: os._exit(0)\nprint(os.wait()[1])", processes=3,
               allow_fork=True).stdout == b"0\n"  # none of them still counts


def test_the_only_descriptors_are_the_three(sandbox: Sandbox) -> None:
    code = "import os\nprint([n for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')])"
    assert run(sandbox, code).stdout == b"['0', '1', '2']\n"


def test_the_input_cannot_be_changed_and_outputs_are_apart(sandbox: Sandbox) -> None:
    code = f"{PRELUDE}\ntried('write', lambda: os.write(0, b'x'))\ntried('reopen', lambda: open('/dev/stdin', 'w'))\n" \
           "tried('grow', lambda: os.ftruncate(0, 100) or 1)\nprint(out)"
    assert contained(run(sandbox, code, b"abc"))


def test_frames_memory_and_modules_hold_nothing_of_other_tests(sandbox: Sandbox) -> None:
    code = "import gc, sys\nword = 'elatllet'[::-1]\n" \
           "print(any(word in repr(x) for x in gc.get_objects() if type(x) in (list, tuple)), sys.stdin.read())"
    with sandbox.job(Program("python", code), Limits()) as job:
        job.run(Stdin(b"telltale"))
        assert job.run(Stdin(b"x")).stdout == b"False x\n"


def test_supervisor_memory_stays_flat_while_output_floods(sandbox: Sandbox) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(sandbox, "import os\nwhile True: os.write(1, b'x' * (1 << 20))", output_bytes=1 << 20)
    run(sandbox, "import os\nwhile True: os.write(2, b'x' * (1 << 20))", output_bytes=1 << 20)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10
