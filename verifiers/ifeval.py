r"""Does a response follow its instructions? The 25 kinds of IFEval (Zhou et al. 2023, arXiv:2311.07911), strictly.

    ifeval("no commas here", '{"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}').status  # "correct"

The whole response without its thinking is judged, as it stands: there is no final answer to find. All instructions have
to hold. Wrong: one is broken, whatever the others. Undecided: none is broken, but one cannot be told: an unknown
instruction, arguments that make no sense, a language that its script does not show, a number of sentences so near the
limit that it depends on how abbreviations are read.
"""

import json
import re
from typing import Any

from verifiers.answers import without_thinking
from verifiers.ifeval_checks import CHECKS, Unclear
from verifiers.verdict import Verdict

VERSION = 1

_CHARACTERS = 200_000  # of a response


def ifeval(response: str, reference: str) -> Verdict:
    """Check every instruction of `reference`: `{"instruction_id_list": ["…"], "kwargs": [{…}]}`, as in IFEval."""
    text = without_thinking(response)
    if not text.strip():
        return Verdict("undecided", reason="no response behind the thinking")
    if len(text) > _CHARACTERS:
        return Verdict("undecided", reason=f"a response of over {_CHARACTERS} characters")
    instructions = _instructions(reference)
    if isinstance(instructions, str):
        return Verdict("undecided", reason=instructions)
    broken, unclear = [], []
    for name, arguments in instructions:
        holds, why = _holds(name, text, arguments)
        if holds is None:
            unclear.append(why)
        elif not holds:
            broken.append(name)
    return _verdict(broken, unclear, len(instructions))


def _verdict(broken: list[str], unclear: list[str], count: int) -> Verdict:
    if broken:
        return Verdict("wrong", reason=f"not followed: {', '.join(broken)}")
    if unclear:
        return Verdict("undecided", reason="; ".join(unclear))
    return Verdict("correct", reason=f"all {count} instructions followed")


def _instructions(reference: str) -> list[tuple[str, dict[str, Any]]] | str:
    """The instructions with their arguments, or what is wrong with the reference."""
    wanted = "the reference has to be JSON with instruction_id_list and kwargs, lists of the same length"
    try:
        fields = json.loads(reference)
        names, arguments = fields["instruction_id_list"], fields["kwargs"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return wanted
    if not isinstance(names, list) or not isinstance(arguments, list) or not names or len(names) != len(arguments):
        return wanted
    if not all(isinstance(name, str) for name in names) or not all(isinstance(one or {}, dict) for one in arguments):
        return wanted
    # The published rows name every argument of every kind and leave those that do not apply null.
    return [(name, {key: value for key, value in (one or {}).items() if value is not None})
            for name, one in zip(names, arguments, strict=True)]  # fmt: skip


def _holds(name: str, text: str, arguments: dict[str, Any]) -> tuple[bool | None, str]:
    check = CHECKS.get(name)
    if check is None:
        return None, f"unknown instruction {name}"
    try:
        return check(text, **arguments), ""
    except Unclear as error:
        return None, f"{name}: {error}"
    except (TypeError, ValueError, AttributeError, re.error):
        return None, f"{name}: its arguments cannot be used"
