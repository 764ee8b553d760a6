"""Runs inside the program's sandbox. Imports the program as a module and serves what the tests ask of its objects.

Nothing here is believed: the program shares this process and may send whatever it likes. A request is a list
[operation, …], an answer ["ok", value, printed, changed arguments] or ["raise", error, printed].
"""

import contextlib
import io
import operator
import sys
import types
from collections.abc import Callable
from typing import Any

from verifiers.code.inside_values import decode, dumps, encode, loads


def main(channel: Any, program: types.CodeType) -> None:
    """Import the program under the name of the first message, then answer until the channel ends."""
    module, why = load(program, loads(channel.receive())["module"])
    channel.send(dumps(why or ["ready", _names(module)]))
    server = _Server(module)
    while module and (request := channel.receive()):
        channel.send(server.answer(request))


def load(program: types.CodeType, name: str) -> tuple[Any, list[str]]:
    """The program as a module; or none, and what kept it from being one."""
    module = types.ModuleType(name)
    module.__dict__["__file__"] = f"{name}.py"
    sys.modules[name] = module
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(program, module.__dict__)
    except BaseException as error:  # sys.exit at import is no success
        return None, ["runtime_error", f"{type(error).__name__}: {error} (while it was imported)"]
    return module, []


def _names(module: Any) -> dict[str, list[str]]:
    """Every name of the program: [] for its own, [module] or [module, name] for what it has imported."""
    return {name: _origin(name, value) for name, value in list(vars(module).items()) if not name.startswith("__")}


def _origin(name: str, value: Any) -> list[str]:
    if isinstance(value, types.ModuleType):
        return [value.__name__]
    home = getattr(value, "__module__", None)
    if isinstance(home, str) and getattr(value, "__name__", getattr(value, "_name", None)) == name:
        public = home.removeprefix("_")
        known = sys.modules.get(public) or sys.modules.get(home)
        if home.partition(".")[0].lstrip("_") in sys.stdlib_module_names and getattr(known, name, None) is value:
            return [public if public in sys.modules else home, name]
    return []


class _Server:
    def __init__(self, module: Any) -> None:
        self._objects: dict[int, Any] = {0: module}
        self._handles: dict[int, int] = {id(module): 0}

    def answer(self, request: bytes) -> bytes:
        printed = io.StringIO()
        try:
            operation, *rest = loads(request)
            with contextlib.redirect_stdout(printed):
                value, changed = getattr(self, f"_do_{operation}")(*rest)
            return dumps(["ok", encode(value, self._handle), printed.getvalue(), changed])
        except BaseException as error:
            return dumps(["raise", self._error(error), printed.getvalue()])

    # -- what is asked for -------------------------------------------------------------------------------------------

    def _do_get(self, handle: int, name: str) -> tuple[Any, Any]:
        return getattr(self._objects[handle], name), None

    def _do_set(self, handle: int, name: str, tree: Any) -> tuple[Any, Any]:
        setattr(self._objects[handle], name, decode(tree, self._object))
        return None, None

    def _do_call(self, handle: int, args: list[Any], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        given = [decode(tree, self._object) for tree in args]
        named = {key: decode(tree, self._object) for key, tree in kwargs.items()}
        value = self._objects[handle](*given, **named)
        changed = [[i, after] for i, before in enumerate(args) if (after := self._after(before, given[i])) != before]
        changed += [[k, after] for k, before in kwargs.items() if (after := self._after(before, named[k])) != before]
        return value, changed

    def _after(self, before: Any, value: Any) -> Any:
        """What an argument has become, if it is of a type that can change in place."""
        mutable = type(before) is list or (type(before) is dict and not before.keys().isdisjoint("dsqCO"))
        return encode(value, self._handle) if mutable else before

    def _do_op(self, name: str, handle: int, args: list[Any]) -> tuple[Any, Any]:
        function = _OPERATIONS.get(name) or getattr(operator, name)
        return function(self._objects[handle], *(decode(tree, self._object) for tree in args)), None

    def _do_exit(self, handle: int, tree: Any) -> tuple[Any, Any]:
        error = decode(tree, self._object)
        raised = (None, None, None) if error is None else (type(error), error, error.__traceback__)
        return bool(self._objects[handle].__exit__(*raised)), None

    # -- handles -----------------------------------------------------------------------------------------------------

    def _object(self, tree: Any) -> Any:
        if "g" in tree:
            home, name = tree["g"]
            return getattr(__import__(home, fromlist=["_"]), name)
        return self._objects[tree["x"]]

    def _handle(self, value: Any) -> dict[str, Any]:
        number = self._handles.get(id(value))
        if number is None:
            number = self._handles[id(value)] = len(self._objects)
            self._objects[number] = value  # kept, so that no other object gets its address
        kind = type(value)
        if isinstance(value, type):
            return {"x": number, "k": "class", "n": value.__name__, "b": [self._base(base) for base in value.__bases__]}
        if kind in _FUNCTIONS:
            return {"x": number, "k": "function", "n": getattr(value, "__name__", "")}
        if kind is types.CoroutineType or kind is types.AsyncGeneratorType:
            return {"x": number, "k": "coroutine"}
        own = any("__eq__" in vars(base) for base in kind.__mro__[:-1])
        return {"x": number, "k": "object", "c": self._handle(kind), "e": own}

    def _base(self, base: type) -> Any:
        return base.__name__ if base.__module__ == "builtins" else self._handle(base)

    def _error(self, error: BaseException) -> dict[str, Any]:
        kind = type(error)
        builtin = next(base.__name__ for base in kind.__mro__ if base.__module__ == "builtins")
        try:
            args = [encode(arg, _as_text) for arg in error.args]
            return {"t": builtin, "c": None if kind.__module__ == "builtins" else self._handle(kind), "a": args,
                    "x": self._handle(error)["x"]}
        except BaseException:  # an error whose own attributes raise
            return {"t": "Exception", "c": None, "a": [], "x": 0}


def _as_text(value: Any) -> str:
    return str(value)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "iter": iter, "next": next, "len": len, "str": str, "repr": repr, "bool": bool, "int": int, "float": float,
    "round": round, "abs": abs, "reversed": reversed, "divmod": divmod, "format": format,
    "enter": lambda value: value.__enter__()}
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
