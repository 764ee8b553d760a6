"""The first process of a cell: imports the common standard library once, then forks one job after the other.

It reads requests from one SEQPACKET socket and ends when that is closed; as pid 1 of the cell's pid namespace it takes
every other process with it. It runs nobody's code itself: a job is a fork in a pid namespace of its own.
"""

import _socket
import fcntl
import gc
import json
import os
import select
import signal
import sys
from typing import Any

from verifiers.cell import job, kernel

_NAMES = (
    "_sitebuiltins abc array atexit bisect builtins cmath collections collections.abc contextlib copy enum functools"
    " heapq io itertools json math numbers operator random re string struct textwrap threading time traceback types"
    " typing"
)
COMMON = _NAMES.split()  # most programs want these; the others that they name (child.NAMED) are imported for each job
PACKAGES = "/opt/packages"

Message = dict[str, Any]


def main(descriptor: int, hooks: Any) -> None:
    """Import what is common, take the configuration and the filters, greet, and serve.

    `hooks` is os.register_at_fork, which the boot has put aside: without those of `threading` and `random` a fork costs
    half, and `random`, seeded here, is the same in every run.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # of pid 1, which is deaf to what has no handler
    os.environ.pop("LD_BIND_NOW", None)
    sys.path += [PACKAGES] if os.path.isdir(PACKAGES) else []
    control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, _out_of_the_way(descriptor))
    _import(COMMON)
    config, _ = receive(control)
    _import(config["preload"])
    sys.modules["random"].seed(0)
    os.register_at_fork = hooks
    filters = [receive_bytes(control) for _ in range(2)]
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC) if config["mode"] == "T1" else -1
    kernel.hide()
    kernel.adopt_orphans()
    if filters[0]:
        kernel.load_seccomp(filters[0])
    _freeze()
    send(control, {"python": sys.version.split()[0], "landlock": kernel.landlock_version(), **_state()})
    while True:
        _serve(control, own, filters[1])


def _out_of_the_way(descriptor: int) -> int:
    """The low numbers belong to the program: what is received later must not land on them."""
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(descriptor)
    while os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) < 8:
        pass
    return high


def _import(names: list[str]) -> None:
    for name in names:
        __import__(name)


def _freeze() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "verifiers"]:
        _ours.append(sys.modules.pop(name))  # the program has no business with them, but they must live on
    gc.collect()
    gc.disable()
    gc.freeze()


_ours: list[object] = []


def _serve(control: _socket.socket, own: int, no_fork: bytes) -> None:
    request, descriptors = receive(control)
    if request["do"] == "stat":
        send(control, _state())
    elif request["do"] == "job":
        status = _run(control, own, request, descriptors, no_fork)
        send(control, {"ended": status})


def _run(control: _socket.socket, own: int, request: Message, descriptors: list[int], no_fork: bytes) -> int:
    """One job, from its fork to its end; returns its wait status."""
    if own >= 0:
        kernel.setns(own, kernel.NEWPID)  # back to our own namespace for children, or there is no second unshare
        kernel.unshare(kernel.NEWPID)
    pid = kernel.fork()
    if not pid:
        control.close()
        job.main(request, descriptors, no_fork)
    for descriptor in descriptors:
        os.close(descriptor)
    ended = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(ended, select.POLLIN)
    poller.register(control, select.POLLIN)
    while ended not in dict(poller.poll()):
        receive(control)  # whatever it is: the supervisor has given the job up
        os.kill(pid, signal.SIGKILL)
        poller.unregister(control)
    os.close(ended)
    return _buried(pid, request)


def _buried(pid: int, request: Message) -> int:
    _, status = os.waitpid(pid, 0)
    job.sweep(request["mode"])
    return status


def _state() -> Message:
    """What must be after a job as it was before."""
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * 4
    return {"rss_kb": resident, "descriptors": len(os.listdir("/proc/self/fd"))}


# -- messages --------------------------------------------------------------------------------------------------------


def receive(control: _socket.socket) -> tuple[Message, list[int]]:
    """The next request with its descriptors. When nobody can send one any more, this process ends."""
    data, ancillary, _, _ = control.recvmsg(1 << 16, _socket.CMSG_SPACE(4 * 8))
    if not data:
        os._exit(0)
    return json.loads(data), job.descriptors_of(ancillary)


def receive_bytes(control: _socket.socket) -> bytes:
    """A packet that may be empty: its first byte says nothing."""
    return control.recv(1 << 16)[1:]


def send(control: _socket.socket, message: Message) -> None:
    try:
        control.send(json.dumps(message).encode())
    except OSError:
        os._exit(0)
