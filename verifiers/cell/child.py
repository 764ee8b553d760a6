"""One test, inside: a fresh fork that becomes the program. Nothing of it comes back but bytes and an exit status.

Everything that the program can patch is bound to a name of ours beforehand; what it can still break is only itself.
"""

import _signal  # type: ignore[import-not-found]  # below `signal`, whose enums cost 40 page faults a call
import _sitebuiltins
import _socket
import _thread
import atexit
import builtins
import contextlib
import os
import re
import resource
import sys
import threading
import types
from collections.abc import Callable
from os import _exit, closerange, dup2, pwrite, read
from typing import Any, NoReturn

from verifiers.cell.wire import pack, unpack

_NAMES = (
    "ast asyncio base64 calendar concurrent.futures csv dataclasses datetime decimal difflib fractions hashlib inspect"
    " logging numpy pprint queue secrets statistics tempfile unittest uuid"
)
NAMED = frozenset(_NAMES.split())
IMPORT = re.compile(rb"^[ \t]*(?:import|from)[ \t]+([\w., \t]+)", re.MULTILINE)
"""Imported once for a program that names them, not by each of its tests. None of them does anything but that."""

RESULT = 3  # the descriptor of a call's result, or of the conversation
FILE = "solution.py"

Message = dict[str, Any]


class Prepared:
    """A program ready to be run any number of times, or why it cannot be (`error`)."""

    def __init__(self, code: types.CodeType | None = None, error: str = "", binary: int = -1,
                 command: list[str] | None = None) -> None:
        self.code, self.error, self.binary, self.command = code, error, binary, command or []

    def address_space(self, forked: int) -> int:
        """What the process has before the program begins: a fork has all of ours, an exec nothing."""
        return forked if self.code else 0


def prepare(request: Message, program: int) -> Prepared:
    """Compile Python once; a binary or a script of another language is only to be executed."""
    if request["command"]:
        return _placed(request, program)
    source = _whole(program)
    try:
        null = os.open(os.devnull, os.O_RDWR)
        dup2(null, 2)  # warnings of the compiler
        code = compile(source, FILE, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        return Prepared(error=f"{type(error).__name__}: {error}"[:2000])
    for name in NAMED.intersection(b",".join(IMPORT.findall(source)).replace(b",", b" ").decode().split()):
        with contextlib.suppress(Exception):  # the program will hear of it itself
            __import__(name)
    return Prepared(code=code)


def _placed(request: Message, program: int) -> Prepared:
    """`{file}` in a command is the program itself, under its name in the scratch folder."""
    name = request["file"]
    if not name:
        return Prepared(binary=program, command=request["command"])
    path = os.path.join("/tmp", name)
    with open(path, "wb") as file:
        file.write(_whole(program))
    return Prepared(command=[part.replace("{file}", path) for part in request["command"]])


def lower(kind: int, soft: int, hard: int | None = None) -> None:
    """Set a limit; never above what this process itself may have."""
    _, most = resource.getrlimit(kind)
    hard = soft if hard is None else hard
    if most >= 0:
        soft, hard = min(soft, most), most if hard < 0 else min(hard, most)
    resource.setrlimit(kind, (soft, hard))


def main(test: Message, descriptors: list[int], prepared: Prepared, bind: Callable[[], None], begun: Any) -> NoReturn:
    """Become the program. Descriptors: stdin, stdout, stderr, and of a call or a talk one more, which becomes 3.

    `begun` is a byte in memory shared with the job: it says whether the program itself has had its turn.
    """
    try:
        os.setsid()
        for target, descriptor in enumerate([*descriptors, *([prepared.binary] if prepared.binary >= 0 else [])]):
            dup2(descriptor, target, target < len(descriptors))  # those received are above 8: 0 to 8 were taken
        bind()
        closerange(len(descriptors) + (prepared.binary >= 0), 1 << 10)
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        way = _WAYS.get(test["kind"], _script)
        begun[0] = 1
        if not prepared.code:
            _execute(prepared, begun)
        begun.close()
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}".encode())
        _exit(70)
    _finish(way(prepared.code, test))


def _execute(prepared: Prepared, begun: Any) -> NoReturn:
    try:
        os.execve(3 if prepared.binary >= 0 else prepared.command[0], prepared.command, os.environ)
    finally:
        begun[0] = 0


# -- the three ways to run Python ------------------------------------------------------------------------------------


def _script(code: types.CodeType, _: Message) -> int:
    module = _module("__main__")
    return _guarded(lambda: exec(code, module.__dict__))


def _call(code: types.CodeType, test: Message) -> int:
    """Import the program as `solution`, call the function, and write what it returned to descriptor 3."""
    entry, arguments, keywords = unpack(_whole(0))
    _module("__main__")
    module = _module("solution")

    def calling() -> None:
        exec(code, module.__dict__)
        value = _function(module, entry)(*arguments, **keywords)
        _write(RESULT, pack(value, test["limit"]))

    return _guarded(calling)


def _talk(code: types.CodeType, test: Message) -> int:
    """Run a script of the supervisor's, with the program's code at hand and a channel to the supervisor."""
    module = _module("__main__")
    channel = Channel(_socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, RESULT))
    module.__dict__.update(channel=channel, program=code)
    script = compile(_whole(0), "talk.py", "exec", dont_inherit=True)
    return _guarded(lambda: exec(script, module.__dict__))


_WAYS: dict[str, Callable[[Any, Message], int]] = {"script": _script, "call": _call, "talk": _talk}


class Channel:
    """Messages of bytes to and from the supervisor, each with its length in front (4 bytes, big-endian)."""

    def __init__(self, connected: _socket.socket) -> None:
        self._socket = connected

    def send(self, message: bytes) -> None:
        self._socket.sendall(len(message).to_bytes(4, "big") + message)

    def receive(self) -> bytes | None:
        """The next message; None when the supervisor has closed its end."""
        head = self._exactly(4)
        return head and self._exactly(int.from_bytes(head, "big"))

    def _exactly(self, count: int) -> bytes | None:
        parts = []
        while count:
            part = self._socket.recv(min(count, 1 << 20))
            if not part:
                return None
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def _module(name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(__file__=FILE, __builtins__=builtins)
    sys.modules[name] = module
    return module


def _function(module: types.ModuleType, entry: str) -> Any:
    """`f`, `Class.method` of a new object of the class, or the method `f` of a class Solution."""
    owner, _, name = entry.rpartition(".")
    if not owner and not hasattr(module, name) and hasattr(module, "Solution"):
        owner = "Solution"
    return getattr(getattr(module, owner)(), name) if owner else getattr(module, name)


# -- the end of a program, as the interpreter does it ------------------------------------------------------------------


def _guarded(run: Callable[[], object]) -> int:
    try:
        run()
    except SystemExit as wanted:
        return _exit_status(wanted.code)
    except BaseException as error:
        shown = error.__traceback__
        while shown and shown.tb_frame.f_code.co_filename != FILE:
            shown = shown.tb_next  # what lies above is ours
        sys.excepthook(type(error), error.with_traceback(shown), shown)
        return 1
    return 0


def _exit_status(code: object) -> int:
    if code is None or isinstance(code, int):
        return int.__and__(code or 0, 0xFF)  # a subclass may say otherwise
    print(code, file=sys.stderr)
    return 1


_wait_for_threads, _at_exit = vars(threading)["_shutdown"], atexit._run_exitfuncs
_threads, _before_they_end = _thread._count, vars(threading)["_threading_atexits"]


def _finish(status: int) -> NoReturn:
    try:
        if _threads() or _before_they_end:
            _wait_for_threads()
        _at_exit()
        sys.stderr and sys.stderr.flush()
        sys.stdout and sys.stdout.flush()
    except BaseException:
        _exit(status or 120)
    _exit(status)


def _whole(descriptor: int) -> bytes:
    parts = []
    while part := read(descriptor, 1 << 24):
        parts.append(part)
    return b"".join(parts)


def _write(descriptor: int, data: bytes) -> None:
    done = 0
    while done < len(data):
        done += pwrite(descriptor, data[done:], done)


builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")  # `-S` leaves them out
builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")
