"""Runs inside the tests' sandbox. The module `solution`, and which of its names tests see that do not import it."""

import builtins
import contextlib
import sys
import types
from typing import Any

from verifiers.code.inside_proxy import Channel
from verifiers.code.inside_values import encode


def module(name: str, names: dict[str, list[str]], channel: Channel) -> types.ModuleType:
    """The module that the tests import."""
    made = _Module(name)
    made.__dict__["_cot_channel"], made.__dict__["_cot_at"] = channel, 0
    made.__dict__["__all__"] = [n for n, origin in names.items() if not (
        origin or n.startswith("_") or hasattr(builtins, n) or n in sys.stdlib_module_names)]
    return made


class _Module(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__["_cot_channel"].attribute(0, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__"):  # the import system's own
            return super().__setattr__(name, value)
        channel = self.__dict__["_cot_channel"]
        channel.ask("set", 0, name, encode(value, channel.tree))


def free_names(code: types.CodeType) -> set[str]:
    """Every name that the code or a function in it may look up in its module."""
    found = set(code.co_names)
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            found |= free_names(part)
    return found


def visible(wanted: set[str], names: dict[str, list[str]], made: types.ModuleType) -> dict[str, Any]:
    """The program's names that tests use without importing them; of the standard library's, our own.

    Builtins stay what they are: with a `set` or an `abs` of its own a program would be asked about its answers. Only
    where the tests use nothing else of the program is it their subject (a task may be to write `sum`).
    """
    found: dict[str, Any] = {}
    used = wanted & names.keys()
    own = [name for name in used if not names[name] and not hasattr(builtins, name)]
    for name in used:
        origin = names[name]
        if own and hasattr(builtins, name):
            continue
        if not origin:
            found[name] = getattr(made, name)
        elif (value := _of_library(name, origin)) is not None:
            found[name] = value
    return found


def _of_library(name: str, origin: list[str]) -> Any:
    """A module of the standard library, or what has that very name in one: one thing cannot be passed as another."""
    home = str(origin[0])
    if home.partition(".")[0] not in sys.stdlib_module_names or name != (origin[1:] or [home.partition(".")[0]])[0]:
        return None
    with contextlib.suppress(ImportError):
        found = __import__(home, fromlist=["_"] if len(origin) == 2 else [])
        return getattr(found, name, None) if len(origin) == 2 else found
    return None
