"""The memory cgroup of a cell: made where it can be, removed, and those of killed processes swept up."""

import subprocess
import sys

import pytest

from verifiers.cell.memory import MemoryGroup

pytestmark = pytest.mark.skipif(MemoryGroup.make() is None, reason="no memory cgroup can be written here")

EATER = "import sys; sys.stdin.read(); block = bytearray(200 << 20)"


def test_a_process_over_the_limit_is_killed_and_counted() -> None:
    group = MemoryGroup.make()
    assert group
    group.limit(64 << 20)
    with subprocess.Popen([sys.executable, "-c", EATER], stdin=subprocess.PIPE) as process:
        group.add(process.pid)
        process.communicate(b"")
    assert (process.returncode, group.kills()) == (-9, 1)
    group.remove()
    assert not group._path.exists()


def test_a_group_whose_process_is_gone_is_removed_with_the_next_one() -> None:
    group = MemoryGroup.make()
    assert group
    abandoned = group._path.with_name("cot-cell-99999999-0")
    abandoned.mkdir()
    other = MemoryGroup.make()
    assert other and group._path.exists() and not abandoned.exists()
    other.remove()
    group.remove()
