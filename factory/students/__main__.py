"""Run a training plugin in a process of its own, so that a stage never imports torch and can outlive a crash of it.

    python -m factory.students SPEC.json

SPEC is {"plugin": "sft", "base": …, "dataset": …, "output": …, "params": {…}}; a dotted plugin is a private module.
Prints one JSON line, the figures, on stdout; a mistake of the user is one sentence on stderr and exit code 2.
"""

import contextlib
import errno
import importlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from factory.protocols import UserError
from factory.students import _several

KEYS = ("plugin", "base", "dataset", "output", "params")


def main(argv: list[str]) -> int:
    try:
        if len(argv) != 1:
            raise UserError("say which: python -m factory.students SPEC.json")
        spec = read(Path(argv[0]))
        with contextlib.redirect_stdout(sys.stderr):  # what libraries print must not mix with the figures
            function = plugin(spec["plugin"])
            if "." not in spec["plugin"]:  # a private one decides for itself
                _several.relaunch(Path(argv[0]), spec, gpus())
            figures = call(function, spec)
        if not _several.is_first():
            return 0
        note(Path(spec["output"]) / "figures.json", figures)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"the disk is full ({error.filename or spec['output']}): make room and run the same command again; the "
              "last checkpoint is kept", file=sys.stderr)
        return 2
    print(json.dumps(figures, allow_nan=False))
    return 0


def gpus() -> int:
    """How many torch sees."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def read(path: Path) -> dict[str, Any]:
    """The spec, with every key there and none unknown."""
    try:
        spec = {"params": {}, **json.loads(path.read_text())}
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a JSON object ({error}): write one with {', '.join(KEYS)}") from error
    if wrong := sorted(set(spec) ^ set(KEYS)):
        raise UserError(f"{path}: '{wrong[0]}' is missing or unknown: the keys are {', '.join(KEYS)}")
    return spec


def plugin(name: str) -> Callable[..., dict[str, Any]]:
    """`sft` is the function `sft` in factory/students/sft.py; a dotted name is any importable module."""
    path = name if "." in name else f"factory.students.{name}"
    try:
        found = getattr(importlib.import_module(path), path.rpartition(".")[2], None)
    except ModuleNotFoundError as error:
        if error.name and not (path == error.name or path.startswith(error.name + ".")):
            raise UserError(f"'{name}' needs the package '{error.name}': install the extra [train]") from error
        found = None
    if not callable(found):
        raise UserError(f"there is no student '{name}': name a file of factory/students, or an importable module")
    return found  # type: ignore[no-any-return]


def call(function: Callable[..., dict[str, Any]], spec: dict[str, Any]) -> dict[str, Any]:
    """Call the plugin, after checking that the parameters fit it."""
    paths = [Path(spec[key]) for key in ("base", "dataset", "output")]
    known = list(inspect.signature(function).parameters)[len(paths):]
    if wrong := sorted(set(spec["params"]) - set(known)):
        raise UserError(f"'{spec['plugin']}' has no parameter '{wrong[0]}': use {', '.join(known)}")
    hints = get_type_hints(function, include_extras=True)
    for key, value in spec["params"].items():
        try:
            TypeAdapter(hints.get(key, Any)).validate_python(value)
        except ValidationError as error:
            raise UserError(f"'{spec['plugin']}' cannot take {key} = {value!r}: {error.errors()[0]['msg']}") from error
    return function(*paths, **spec["params"])


def note(path: Path, figures: dict[str, Any]) -> None:
    """A plugin that only returns its figures is whole, too: the file is how others see that it ended."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}.tmp")
        hidden.write_text(json.dumps(figures))
        hidden.rename(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
