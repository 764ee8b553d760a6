"""Runs inside the tests' sandbox. The module `solution` as the tests see it: every access is asked of the program.

The verdict is made here, so no answer of the program's is trusted with it: what is no plain data is an object that
equals only itself. When the tests compare two such objects, only the program can tell; that is done, and `tainted`
notes that it took part in its own judgement. What cannot cross (a function of the tests, a subclass of the program's
class) raises NeedsReal.
"""

import builtins
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from verifiers.code.inside_values import decode, dumps, encode, loads

LENT = 1_000
"""Items of a container of the program's that is watched; longer ones are tables that nobody changes."""
IDLE = 2
"""References to a container that only the list of those lent holds, and the look at it."""


class NeedsReal(BaseException):
    """The tests want something of the program's real objects that cannot be had from afar."""


class Unsupported(BaseException):
    """The tests want something that is not there in the sandbox; the program is not to blame."""


class Channel:
    """Requests to the program. `asked` counts them, `tainted` says that it compared its own objects."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.asked, self.tainted = 0, False
        self._classes: dict[int, Any] = {}
        self._objects: dict[int, Any] = {}
        self._lent: list[tuple[Any, bytes, int, str]] = []

    def attribute(self, handle: int, name: str) -> Any:
        """An attribute's value. A container is a copy: while the tests hold it, neither side may change its own."""
        value = self.ask("get", handle, name)
        if isinstance(value, (list, dict, set)) and len(value) <= LENT:
            self._lent.append((value, self._text(value), handle, name))
        return value

    def _text(self, value: Any) -> bytes:
        return dumps(encode(value, self.tree))

    def _unchanged_here(self) -> None:
        if any(self._text(lent[0]) != lent[1] for lent in self._lent):
            raise NeedsReal("the tests change a container of the program's")
        self._lent = [lent for lent in self._lent if sys.getrefcount(lent[0]) > IDLE]

    def _unchanged_there(self) -> None:
        for _, text, handle, name in list(self._lent):
            if self._text(self.ask("get", handle, name)) != text:
                raise NeedsReal("the program changes a container that the tests hold")

    def ask(self, *request: Any, given: Any = ()) -> Any:
        """The answer's value; what the program printed is printed here, what it raised is raised here."""
        self.asked += 1
        self._unchanged_here()
        self._channel.send(b"c" + dumps(request))
        kind, value, printed, *changed = loads(self._channel.receive())
        if printed:
            sys.stdout.write(printed)
        if kind == "raise":
            raise self._error(value)
        for key, tree in changed[0] or ():
            _replace(given[0][key] if isinstance(key, int) else given[1][key], decode(tree, self._value))
        return decode(value, self._value)

    def call(self, handle: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        trees = [encode(arg, self.tree) for arg in args]
        try:
            return self.ask("call", handle, trees, {k: encode(v, self.tree) for k, v in kwargs.items()},
                            given=(args, kwargs))
        finally:
            self._unchanged_there()

    def operate(self, name: str, handle: int, *args: Any) -> Any:
        try:
            return self.ask("op", name, handle, [encode(arg, self.tree) for arg in args])
        finally:
            self._unchanged_there()

    def tree(self, value: Any) -> Any:
        """An object goes back to the program it came from, a part of Python goes by name; nothing else can go there."""
        number = _number(value)
        if number is not None:
            return {"x": number}
        home, name = getattr(value, "__module__", None), getattr(value, "__name__", "")
        known = isinstance(home, str) and home.partition(".")[0] in sys.stdlib_module_names
        if known and getattr(sys.modules.get(str(home)), name, None) is value:
            return {"x": -1, "g": [home, name]}
        raise NeedsReal(f"the tests pass a {type(value).__name__} to the program")

    # -- what comes back ---------------------------------------------------------------------------------------------

    def _value(self, tree: Any) -> Any:
        kind, number = tree["k"], int(tree["x"])
        if kind == "coroutine":
            raise NeedsReal("the tests run a coroutine of the program")
        if kind == "class":
            return self._class(tree)
        if number not in self._objects:
            made: Any = object.__new__(Remote if kind == "function" else self._class(tree["c"]))
            if not isinstance(made, Remote):
                raise TypeError("an error of the program was returned and not raised")
            for name, value in (("_cot_at", number), ("_cot_channel", self), ("_cot_equal", bool(tree.get("e"))),
                                ("_cot_name", str(tree.get("n", "")))):
                object.__setattr__(made, name, value)
            self._objects[number] = made
        return self._objects[number]

    def _class(self, tree: Any) -> Any:
        number = int(tree["x"])
        if number not in self._classes:
            bases = [_builtin_base(base) if isinstance(base, str) else self._class(base) for base in tree["b"]]
            bases = list(dict.fromkeys(base for base in bases if base is not None)) or [Remote]
            errors = [base for base in bases if issubclass(base, BaseException)]
            name, space = str(tree["n"]), {"_cot_at": number, "_cot_channel": self, "__module__": "solution"}
            if errors:
                self._classes[number] = type(name, tuple(errors), space)
            else:
                with _making():
                    self._classes[number] = _RemoteClass(name, _ordered(bases), space)
        return self._classes[number]

    def _error(self, tree: Any) -> BaseException:
        kind = self._class(tree["c"]) if tree["c"] else _error_class(tree["t"])
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            kind = ProgramExit
        args = [decode(arg, self._value) for arg in tree["a"]]
        try:
            error: BaseException = kind(*args)
        except TypeError:  # UnicodeDecodeError and others want arguments of their own
            error = ProgramError(f"{kind.__name__}: {args}")
        error.from_program = True  # type: ignore[attr-defined]
        error.__dict__["_cot_at"] = int(tree["x"])
        return error


class ProgramError(Exception):
    """An error of the program's that cannot be made again here."""


class ProgramExit(ProgramError):
    """The program left (SystemExit, KeyboardInterrupt): an error, and never the end of the tests."""


def _error_class(name: Any) -> Any:
    found = getattr(builtins, name, None) if isinstance(name, str) else None
    return SystemExitOfProgram if found is SystemExit else found


class SystemExitOfProgram(SystemExit, ProgramExit):
    """`assertRaises(SystemExit)` sees it."""


def _builtin_base(name: str) -> Any:
    found = getattr(builtins, name, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _ordered(bases: list[Any]) -> tuple[Any, ...]:
    """Without those that others are derived from already."""
    return tuple(b for b in bases if not any(o is not b and issubclass(o, b) for o in bases))


def _replace(old: Any, new: Any) -> None:
    """Make an argument what the program has made of it."""
    if isinstance(old, list):
        old[:] = new
    elif isinstance(old, (dict, set)):
        old.clear()
        old.update(new)
    elif hasattr(old, "clear") and hasattr(old, "extend"):
        old.clear()
        old.extend(new)


def _number(value: Any) -> int | None:
    if isinstance(value, Remote):
        return int(object.__getattribute__(value, "_cot_at"))
    if isinstance(value, BaseException):
        return value.__dict__.get("_cot_at")
    return vars(value).get("_cot_at") if isinstance(value, type) else None


_ours = False


@contextlib.contextmanager
def _making() -> Iterator[None]:
    global _ours
    _ours = True
    try:
        yield
    finally:
        _ours = False


class _RemoteClass(type):
    """A class of the program's; its instances here are Remote ones, so `isinstance` works."""

    def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> Any:
        if not _ours and name != "Remote":
            raise NeedsReal("the tests derive a class from one of the program's")
        return super().__new__(cls, name, bases, space)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls._cot_channel.call(cls._cot_at, args, kwargs)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_cot_") or "_cot_at" not in vars(cls):
            raise AttributeError(name)
        return cls._cot_channel.attribute(cls._cot_at, name)

    def __iter__(cls) -> Any:
        return cls._cot_channel.operate("iter", cls._cot_at)

    def __len__(cls) -> int:
        return int(cls._cot_channel.operate("len", cls._cot_at))

    def __bool__(cls) -> bool:
        return True

    def __getitem__(cls, key: Any) -> Any:
        return cls._cot_channel.operate("getitem", cls._cot_at, key)


def _asked(name: str) -> Callable[..., Any]:
    """An operation that the program does on its own object, whose result is its own affair."""
    def operate(self: Any, *args: Any) -> Any:
        return self._cot_channel.operate(name, self._cot_at, *args)
    return operate


def _as(name: str, kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda self: kind(self._cot_channel.operate(name, self._cot_at))


def _between(name: str) -> Callable[[Any, Any], Any]:
    """An operation with another value. Two objects of the program's: it may answer with data, which taints.

    With a value of the tests' it may not: told what is expected, it could answer as it likes.
    """
    def operate(self: Any, other: Any) -> Any:
        result = self._cot_channel.operate(name, self._cot_at, other)
        if isinstance(result, Remote):
            return result
        if not isinstance(other, Remote):
            raise TypeError(f"a {type(self).__name__} of the program is no plain data: '{name}' is not believed")
        self._cot_channel.tainted = True
        return result
    return operate


class Remote(metaclass=_RemoteClass):
    """An object of the program's."""

    __hash__ = object.__hash__

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_cot_") or (name.startswith("__") and name not in ("__name__", "__doc__", "__dict__")):
            return object.__getattribute__(self, name)
        return self._cot_channel.attribute(self._cot_at, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._cot_channel.ask("set", self._cot_at, name, encode(value, self._cot_channel.tree))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._cot_channel.call(self._cot_at, args, kwargs)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Remote) or not (self._cot_equal or other._cot_equal):
            return False
        self._cot_channel.tainted = True
        return self._cot_channel.operate("eq", self._cot_at, other) is True

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> bool:
        """Its own error the program may swallow; a failed assertion of the tests it may not even see."""
        own = error is not None and hasattr(error, "from_program")
        if error is not None and not own and type(error) is not AssertionError:
            raise NeedsReal(f"a {type(error).__name__} of the tests passes through an object of the program's")
        tree = self._cot_channel.tree(error) if own else None
        swallowed = bool(self._cot_channel.ask("exit", self._cot_at, tree))
        return swallowed and own

    def __bool__(self) -> bool:
        return bool(self._cot_channel.operate("bool", self._cot_at))

    __iter__, __next__, __enter__ = _asked("iter"), _asked("next"), _asked("enter")
    __getitem__, __setitem__, __delitem__ = _asked("getitem"), _asked("setitem"), _asked("delitem")
    __len__, __str__, __repr__ = _as("len", int), _as("str", str), _as("repr", str)
    __int__, __float__, __index__ = _as("int", int), _as("float", float), _as("index", int)
    __neg__, __abs__, __reversed__ = _asked("neg"), _asked("abs"), _asked("reversed")
    __lt__, __le__, __gt__, __ge__ = _between("lt"), _between("le"), _between("gt"), _between("ge")
    __add__, __sub__, __mul__, __matmul__ = _between("add"), _between("sub"), _between("mul"), _between("matmul")
    __truediv__, __floordiv__, __mod__ = _between("truediv"), _between("floordiv"), _between("mod")
    __pow__, __and__, __or__, __xor__ = _between("pow"), _between("and_"), _between("or_"), _between("xor")
