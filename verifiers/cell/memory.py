"""A memory cgroup for a cell, where this process may make one (v1 as root, v2 delegated): no child escapes it."""

import contextlib
import itertools
import os
import re
from pathlib import Path
from typing import Self

_serial = itertools.count()


class MemoryGroup:
    """A cgroup below ours, named after this process so that one left behind by a killed process is found again."""

    def __init__(self, path: Path, version: int) -> None:
        self._path, self._version, self._limit = path, version, 0

    @classmethod
    def make(cls) -> Self | None:
        """A new group, or None where none can be written."""
        for parent, version in _parents():
            path = parent / f"cot-cell-{os.getpid()}-{next(_serial)}"
            with contextlib.suppress(OSError):
                _remove_abandoned(parent)
                path.mkdir()
                group = cls(path, version)
                try:
                    group.limit(1 << 30)
                    return group
                except OSError:
                    group.remove()
        return None

    def add(self, pid: int) -> None:
        (self._path / "cgroup.procs").write_text(str(pid))

    def limit(self, size: int) -> None:
        """Set the limit in bytes of all processes together, swap included where it is counted."""
        if size == self._limit:
            return
        name = "memory.limit_in_bytes" if self._version == 1 else "memory.max"
        (self._path / name).write_text(str(size))
        self._limit = size

    def kills(self) -> int:
        """How many processes the kernel has ended here for want of memory."""
        name = "memory.oom_control" if self._version == 1 else "memory.events"
        found = re.search(r"^oom_kill (\d+)", (self._path / name).read_text(), re.MULTILINE)
        return int(found[1]) if found else 0

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.rmdir()


def _parents() -> list[tuple[Path, int]]:
    """Our own groups that control memory, v2 before v1."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            found.append((Path("/sys/fs/cgroup/memory", path.lstrip("/")), 1))
        elif not controllers:
            place = Path("/sys/fs/cgroup", path.lstrip("/"))
            with contextlib.suppress(OSError):
                if "memory" in (place / "cgroup.subtree_control").read_text().split():
                    found.insert(0, (place, 2))
    return found


def _remove_abandoned(parent: Path) -> None:
    for path in parent.glob("cot-cell-*"):
        if not Path("/proc", path.name.split("-")[2]).exists():
            with contextlib.suppress(OSError):
                path.rmdir()
