"""Plugins by name: the folder is the registry. `shortest` is a function in the file `factory/selection/shortest.py`.

A name with a dot is a private plugin: any importable module, its function named after the last part. A misspelt name
answers with the right ones, a misspelt or ill-typed parameter is refused, a missing dependency is reported as itself.
"""

import functools
import importlib
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from factory.protocols import UserError

KINDS = {"source": ("factory.sources", 0), "teacher": ("factory.teachers", 0), "strategy": ("factory.strategies", 2),
         "measure": ("factory.measures", 2), "selector": ("factory.selection", 1), "emitter": ("factory.emitters", 1),
         "student": ("factory.students", 3), "verifier": ("verifiers", 2)}
"""Kind -> its folder and how many arguments the factory passes; the rest are the recipe's parameters."""


@functools.cache
def names(kind: str) -> Sequence[str]:
    """The plugins of a kind that ship here: files of its folder with a function of the file's name. Imports none."""
    package = importlib.import_module(KINDS[kind][0])
    files = [file for folder in package.__path__ for file in Path(folder).glob("[!_]*.py")]
    return sorted(f.stem for f in files if re.search(rf"^(async )?def {f.stem}\(", f.read_text("utf-8"), re.MULTILINE))


def module(kind: str, name: str) -> Any:
    """The plugin's module. Raises UserError for a name that does not exist and for one that cannot be imported."""
    path = name if "." in name else f"{KINDS[kind][0]}.{name}"
    if name not in names(kind) and not ("." in name and all(part.isidentifier() for part in name.split("."))):
        raise UserError(f"there is no {kind} '{name}'{did_you_mean(name, names(kind))}")
    try:
        found = importlib.import_module(path)
        for package in getattr(found, "NEEDS", ()):  # what it imports only when it works
            if importlib.util.find_spec(package) is None:
                raise ModuleNotFoundError(name=package)
        if said := getattr(found, "UNAVAILABLE", ""):
            raise UserError(said)
        return found
    except UserError:
        raise
    except ModuleNotFoundError as error:
        if error.name and (path == error.name or path.startswith(error.name + ".")):
            raise UserError(f"there is no module '{path}' for the {kind} '{name}': it has to be importable") from error
        raise UserError(f"the {kind} '{name}' needs the package '{error.name}', which is not installed: "
                        f"pip install it (see the extras in pyproject.toml)") from error
    except Exception as error:  # a private module is anybody's code
        raise UserError(f"the {kind} '{name}' cannot be imported: {type(error).__name__}: {error}; mend it") from error


def function(kind: str, name: str) -> Callable[..., Any]:
    """The plugin's function: it has the name of its file."""
    found = getattr(module(kind, name), name.rpartition(".")[2], None)
    if not callable(found):
        raise UserError(f"the {kind} '{name}' has no function '{name.rpartition('.')[2]}': name it after its file")
    return found  # type: ignore[no-any-return]


def version(kind: str, name: str) -> int:
    """The plugin's `VERSION` (1 if it has none): part of the ids of what it computes."""
    return int(getattr(module(kind, name), "VERSION", 1))


def identity(kind: str, name: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of the parameters determines what the plugin computes: all of them as they are, unless its module has a
    function `identity(**params)`, which may put a digest in the place of a path.
    """
    of_its_own = getattr(module(kind, name), "identity", None)
    if of_its_own is None:
        return params
    bind(kind, name, params)  # refuses what does not fit
    return of_its_own(**params)  # type: ignore[no-any-return]


def bind(kind: str, name: str, params: Mapping[str, Any]) -> Callable[..., Any]:
    """The plugin's function with the recipe's parameters filled in, after checking that they fit."""
    made = function(kind, name)
    allowed = parameters(kind, name)
    hints = get_type_hints(made, include_extras=True)
    for key, value in params.items():
        if key not in allowed:
            raise UserError(f"the {kind} '{name}' has no parameter '{key}'{did_you_mean(key, list(allowed))}")
        _fits(f"the {kind} '{name}'", key, value, hints.get(key, Any))
    missing = [k for k, p in allowed.items() if p.default is p.empty and k not in params]
    if missing:
        raise UserError(f"the {kind} '{name}' needs the parameter '{missing[0]}': set it in the recipe")
    return functools.partial(made, **params)


def parameters(kind: str, name: str) -> dict[str, inspect.Parameter]:
    """What a recipe may set on a plugin."""
    found = list(inspect.signature(function(kind, name)).parameters.values())[KINDS[kind][1]:]
    return {p.name: p for p in found if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}


def _fits(owner: str, key: str, value: Any, hint: Any) -> None:
    try:
        TypeAdapter(hint).validate_json(json.dumps(value), strict=True)  # as JSON: there a list may fill a tuple
    except ValidationError as error:
        raise UserError(f"{owner} cannot take {key} = {value!r}: {_wanted(error, hint)}") from error


def _wanted(error: ValidationError, hint: Any) -> str:
    """What it should be: a number within bounds, or of another type."""
    if bound := next((e["msg"] for e in error.errors() if "than" in e["type"]), ""):
        return bound[0].lower() + bound[1:]
    return f"it has to be {_told(hint)}"


def _told(hint: Any) -> str:
    """A type as it is written, without bounds and without None, which a recipe cannot write."""
    if get_origin(hint) is Annotated:
        return _told(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return " | ".join(_told(one) for one in get_args(hint) if one is not NoneType)
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


def did_you_mean(name: str, right: Sequence[str]) -> str:
    """The end of a sentence about a wrong name: the nearest right one, and all of them."""
    close = get_close_matches(name, right, 1)
    hint = f": did you mean '{close[0]}'? " if close else ": "
    return f"{hint}use one of {', '.join(right) or '(none)'}"


def allow_private(folder: str) -> None:
    """Let private plugins beside a recipe be imported."""
    if folder not in sys.path:
        sys.path.append(folder)
