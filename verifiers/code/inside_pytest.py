"""Runs inside the tests' sandbox. A stand-in for pytest: what suites of tests for one function use of it.

Test functions and classes, `raises`, `approx`, `fail`, `skip`, `fixture` (of one test, also with `yield`), `mark` with
`parametrize`, `skip` and `skipif`, and the fixture `capsys`. Whatever else is asked of it says so.
"""

import contextlib
import functools
import inspect
import io
import itertools
import math
import re
import sys
import types
import unittest
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from verifiers.code.inside_proxy import Unsupported

# -- collecting ----------------------------------------------------------------------------------------------


def tests_of(space: dict[str, Any]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """(name, test) of the functions `test*` and the methods `test*` of classes `Test*`, one for each set of values."""
    fixtures = _fixtures(space)
    for name, value in list(space.items()):
        if name.startswith("test") and inspect.isfunction(value):
            yield from _calls(name, value, fixtures, None)
        elif name.startswith("Test") and inspect.isclass(value) and not issubclass(value, unittest.TestCase):
            own = _fixtures(vars(value))
            for method, function in list(vars(value).items()):
                if method.startswith("test") and inspect.isfunction(function):
                    yield from _calls(f"{name}.{method}", function, fixtures | own, value)


def _fixtures(space: Mapping[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in space.items() if inspect.isfunction(v) and hasattr(v, "_cot_fixture")}


def _calls(name: str, function: Any, fixtures: dict[str, Any], owner: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    marks = [*getattr(owner, "_cot_marks", []), *getattr(function, "_cot_marks", [])]
    skip = next((reason for kind, reason in marks if kind == "skip"), None)
    sets = [values for kind, values in marks if kind == "parametrize"]
    for number, chosen in enumerate(itertools.product(*sets)):
        given = {key: value for values in chosen for key, value in values.items()}
        title = f"{name}[{number}]" if sets else name
        yield title, functools.partial(_call, function, owner, given, fixtures, skip)


def _call(function: Any, owner: Any, given: dict[str, Any], fixtures: dict[str, Any], skip: str | None) -> None:
    if skip is not None:
        raise unittest.SkipTest(skip)
    if inspect.iscoroutinefunction(function):
        raise Unsupported("the tests are coroutines, for which a plug-in of pytest would be needed")
    instance = owner() if owner else None
    with contextlib.ExitStack() as stack:
        if instance is not None and hasattr(instance, "setup_method"):
            instance.setup_method()
            stack.callback(getattr(instance, "teardown_method", lambda: None))
        made: dict[str, Any] = {}
        for key, value in fixtures.items():
            if value._cot_fixture:
                _fixture(key, fixtures, made, stack, instance)
        names = [n for n in inspect.signature(function).parameters if n != "self" or owner is None]
        values = {n: given[n] if n in given else _fixture(n, fixtures, made, stack, instance) for n in names}
        function(*([instance] if owner else []), **values)


def _fixture(name: str, fixtures: dict[str, Any], made: dict[str, Any], stack: contextlib.ExitStack, owner: Any) -> Any:
    if name in made:
        return made[name]
    if name == "capsys":
        return made.setdefault(name, _CapSys())
    if name not in fixtures:
        raise Unsupported(f"the tests use the fixture '{name}', which the stand-in for pytest does not have")
    function = fixtures[name]
    needs = inspect.signature(function).parameters
    values = {n: owner if n == "self" else _fixture(n, fixtures, made, stack, owner) for n in needs}
    made[name] = value = function(**values)
    if inspect.isgenerator(value):
        made[name] = next(value)
        stack.callback(next, value, None)
    return made[name]


class _CapSys:
    """Of stdout and stderr, which are kept in memory; what a program prints to stderr comes only from beside."""

    def __init__(self) -> None:
        sys.stderr = io.StringIO()
        self._from = {stream: stream.tell() for stream in (sys.stdout, sys.stderr)}

    def readouterr(self) -> "_Captured":
        return _Captured(*map(self._new, list(self._from)))

    def _new(self, stream: Any) -> str:
        stream.seek(self._from[stream])
        text: str = stream.read()
        self._from[stream] = stream.tell()
        return text


class _Captured(NamedTuple):
    out: str
    err: str


# -- what tests call -----------------------------------------------------------------------------------------


def module(made: types.ModuleType) -> types.ModuleType:
    """Fill the module that `import pytest` gives."""
    vars(made).update(raises=_raises, approx=_Approx, fail=_fail, skip=_skip, fixture=_as_fixture, mark=_Mark(),
                      param=lambda *values, **_: _Param(values), main=lambda *_: 0, importorskip=__import__)
    return made


@contextlib.contextmanager
def _raising(kinds: Any, match: str | None) -> Iterator[Any]:
    info = types.SimpleNamespace(value=None, type=None)
    try:
        yield info
    except kinds as error:
        info.value, info.type = error, type(error)
        if match is not None and not re.search(match, str(error)):
            raise AssertionError(f"{str(error)!r} does not match {match!r}") from error
    else:
        raise AssertionError(f"DID NOT RAISE {kinds}")


def _raises(kinds: Any, function: Any = None, *args: Any, match: str | None = None, **kwargs: Any) -> Any:
    if function is None:
        return _raising(kinds, match)
    with _raising(kinds, match) as info:
        function(*args, **kwargs)
    return info


class _Approx:
    """A number, or a list, tuple or dict of numbers, near enough: 1e-6 of the expected one, or 1e-12."""

    def __init__(self, expected: Any, rel: float | None = None, abs: float | None = None,  # noqa: A002 (pytest calls it so)
                 nan_ok: bool = False) -> None:
        self._expected, self._rel, self._nan_ok = expected, rel, nan_ok
        self._abs = abs

    def __eq__(self, other: object) -> bool:
        return self._near(other, self._expected)

    __hash__ = None  # type: ignore[assignment]

    def _near(self, got: Any, expected: Any) -> bool:
        if isinstance(expected, dict):
            return type(got) is dict and got.keys() == expected.keys() and all(
                self._near(got[key], expected[key]) for key in expected)
        if isinstance(expected, (list, tuple)):
            return type(got) in (list, tuple) and len(got) == len(expected) and all(map(self._near, got, expected))
        if got == expected:
            return type(got) in (int, float, bool, str, type(None), complex) or type(got) is type(expected)
        if type(got) not in (int, float) or not isinstance(expected, (int, float)):
            return False
        if math.isnan(got) or math.isnan(expected):
            return self._nan_ok and math.isnan(got) and math.isnan(expected)
        if math.isinf(got) or math.isinf(expected):
            return False
        relative = self._rel if self._rel is not None else 1e-6 if self._abs is None else 0.0
        least = 1e-12 if self._abs is None else self._abs
        return math.fabs(got - expected) <= max(relative * math.fabs(expected), least)

    def __repr__(self) -> str:
        return f"approx({self._expected!r})"


def _fail(reason: str = "", **_: Any) -> None:
    raise AssertionError(reason)


def _skip(reason: str = "", **_: Any) -> None:
    raise unittest.SkipTest(reason)


def _as_fixture(function: Any = None, *, autouse: bool = False, params: Any = None, **_: Any) -> Any:
    if params is not None:
        raise Unsupported("the stand-in for pytest has no fixtures with params")

    def mark(made: Any) -> Any:
        made._cot_fixture = autouse
        return made
    return mark if function is None else mark(function)


class _Mark:
    """`mark.parametrize`, `mark.skip` and `mark.skipif`; other marks (slow, timeout) only sort tests."""

    def __getattr__(self, name: str) -> Any:
        if name in ("xfail", "usefixtures", "asyncio"):
            raise Unsupported(f"the stand-in for pytest has no mark '{name}'")
        return lambda *args, **kwargs: args[0] if len(args) == 1 and callable(args[0]) and not kwargs else lambda f: f

    def parametrize(self, names: Any, values: Any, **_: Any) -> Any:
        keys = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
        sets = [dict(zip(keys, [value] if len(keys) == 1 and not isinstance(value, _Param) else value, strict=True))
                for value in values]
        return _marking("parametrize", sets)

    def skip(self, reason: Any = "", **_: Any) -> Any:
        return _marking("skip", "")(reason) if callable(reason) else _marking("skip", str(reason))

    def skipif(self, condition: Any, *, reason: str = "") -> Any:
        return _marking("skip", reason) if condition else lambda made: made


class _Param(tuple[Any, ...]):
    """What `pytest.param` gives: one value for each name, also when there is one name."""


def _marking(kind: str, value: Any) -> Callable[[Any], Any]:
    def mark(made: Any) -> Any:
        made._cot_marks = [*getattr(made, "_cot_marks", []), (kind, value)]
        return made
    return mark
