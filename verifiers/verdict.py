"""What a verifier says: correct, wrong, or that it cannot tell.

The third answer is the point. An error, a time-out or an unreadable answer says nothing about the
answer, so it is `undecided`, and what is undecided is never trained on.
"""

from dataclasses import dataclass
from typing import Literal

Status = Literal["correct", "wrong", "undecided"]
Grade = Literal["exact", "executed", "replayed", "majority", "judge", "in_process", "unsafe"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One verdict on one response.

    `answer` is the final answer as it was found (None: none found), `reason` a sentence for people,
    `grade` how strong the evidence is, `seconds` the wall-clock time of the check (0.0: not timed).
    `detail` is empty or JSON text: what a verifier knows beyond the status, a verdict per test for example.

    Two grades are weaker than the rest: `in_process` (tests and program shared a process, so the
    program could have forged it) and `unsafe` (it ran without a sandbox).
    """

    status: Status
    answer: str | None = None
    reason: str = ""
    grade: Grade = "exact"
    seconds: float = 0.0
    detail: str = ""
