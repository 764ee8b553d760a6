"""Runs inside the tests' sandbox. Stand-ins for numpy and pytest where the sandbox's Python does not have them.

Of numpy there is what EvalPlus's tests use: `allclose`, `isclose`, the names of types and some constants. Whatever else
is asked of a stand-in says so, and the suite is not judged.
"""

import importlib.util
import math
import sys
import types
from typing import Any

from verifiers.code.inside_proxy import Unsupported


def install(wanted: str) -> None:
    """Put those that the text of the tests names into `sys.modules`, unless they can be imported."""
    for name, make in (("pytest", _pytest), ("numpy", _numpy)):
        if name in wanted and name not in sys.modules and importlib.util.find_spec(name) is None:
            sys.modules[name] = make()


class StandIn(types.ModuleType):
    """A module that says what it does not have."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Unsupported(f"the sandbox has no {self.__name__}, and its stand-in no '{name}'")


def _pytest() -> types.ModuleType:
    from verifiers.code import inside_pytest

    return inside_pytest.module(StandIn("pytest"))


def _numpy() -> types.ModuleType:
    made = StandIn("numpy")
    array = type("ndarray", (), {})
    vars(made).update(allclose=_all_close, isclose=_is_close, ndarray=array, float64=float, float32=float, inf=math.inf,
                      nan=math.nan, pi=math.pi, e=math.e)
    return made


def _all_close(left: Any, right: Any, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    """Lists and tuples of the same shape, and numbers. Of shapes that differ numpy compares what it can: not here."""
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        if len(left) != len(right):
            raise ValueError(f"the shapes differ: {len(left)} and {len(right)} items")
        return all(_all_close(a, b, rtol, atol) for a, b in zip(left, right, strict=True))
    if isinstance(right, (list, tuple)):
        return all(_all_close(left, item, rtol, atol) for item in right)
    if isinstance(left, (list, tuple)):
        return all(_all_close(item, right, rtol, atol) for item in left)
    return _is_close(left, right, rtol, atol)


def _is_close(left: Any, right: Any, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    for value in (left, right):
        if not isinstance(value, (int, float, complex)):
            raise TypeError(f"a {type(value).__name__} is no number")
    if left == right:
        return True
    difference = float(abs(left - right))
    return bool(math.isfinite(difference) and difference <= atol + rtol * abs(right))
