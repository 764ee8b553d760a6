"""A verifier by its name: `math_equal` is `verifiers/math_equal.py`, `lab.proofs` any module.

The folder is the registry: a verifier is a file with a function of the same name in it. Loading one
imports that module and nothing else, and a dependency it lacks is reported as itself.
"""

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import cast

from verifiers.verdict import Verdict

Verify = Callable[[str, str], Verdict]  # (response, reference) -> Verdict


def load(name: str) -> Verify:
    """The function of a verifier. LookupError, with the right names, when there is none."""
    function = getattr(load_module(name), name.rpartition(".")[2], None)
    if not callable(function):
        raise _unknown(name)
    return cast(Verify, function)


def version(name: str) -> int:
    """The `VERSION` of a verifier, which is part of the id of its verdicts; LookupError without."""
    found = getattr(load_module(name), "VERSION", None)
    if not isinstance(found, int):
        raise LookupError(f"The verifier {name!r} has no `VERSION: int` in its module; add one.")
    return found


def load_module(name: str) -> ModuleType:
    """The module of a verifier. ImportError when it is there and something it needs is not."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise _unknown(name)
    path = name if "." in name else f"verifiers.{name}"
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and (path == error.name or path.startswith(f"{error.name}.")):
            raise _unknown(name) from error
        raise


def names() -> list[str]:
    """The verifiers of this folder, without importing them."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [f.stem for f in files if re.search(rf"^def {f.stem}\(", f.read_text(), re.MULTILINE)]


def _unknown(name: str) -> LookupError:
    return LookupError(
        f"There is no verifier {name!r}. There are {', '.join(names())}; a private one is a dotted"
        " module path, pkg.mod, with a function `mod(response, reference)` in it."
    )
