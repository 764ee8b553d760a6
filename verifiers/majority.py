r"""What most answers to one problem say, for problems without a reference: evidence of grade `majority`.

    vote = elect(["12", "12.0", "13"], {("12", "12.0"): "correct", …})  # the pairs are those of `contested`
    vote.verdict("12.0")  # correct, "share 0.67 of 3"

One response alone says nothing here: `majority(response, reference)` only finds its answer and is undecided.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from verifiers.answers import final_answer
from verifiers.verdict import Status, Verdict

VERSION = 1

FEWEST = 3  # answers that make a majority worth the name
COMPARED = 24  # different writings of one problem's answers; the rarer ones stand for themselves


def majority(response: str, reference: str) -> Verdict:
    """The final answer of `response`, undecided until `elect` has seen the others."""
    answer = final_answer(response)
    if answer is None:
        return Verdict("undecided", reason="no final answer found", grade="majority")
    return Verdict("undecided", answer.text, "a majority needs the problem's other answers", "majority")


@dataclass(frozen=True)
class Vote:
    """`winner` is the answer of the largest class as it is written most often, None when there is no such class;
    `share` the part of the `answered` ones that are in it, `rivals` what every other answer is beside the winner."""

    winner: str | None
    share: float
    answered: int
    rivals: Mapping[str, Status]

    def verdict(self, answer: str | None) -> Verdict:
        """What the vote says of one of the answers."""
        told = f"share {self.share:.2f} of {self.answered}"
        if answer is None:
            return Verdict("undecided", reason="no final answer found", grade="majority")
        if self.winner is None:
            few = self.answered < FEWEST
            reason = f"{self.answered} answers, and a majority needs {FEWEST}" if few else f"a tie at {told}"
            return Verdict("undecided", answer, reason, "majority")
        return Verdict(self.rivals[_same(answer)], answer, told, "majority")


def contested(answers: Sequence[str | None]) -> list[tuple[str, str]]:
    """The pairs of answers whose equality `elect` has to know; equal texts are equal anyway."""
    return list(combinations(_ranked(answers)[:COMPARED], 2))


def elect(answers: Sequence[str | None], status: Mapping[tuple[str, str], Status]) -> Vote:
    """The vote over one problem's answers (None: none found), given what a verifier says of the contested pairs."""
    counts = Counter(_same(answer) for answer in answers if answer is not None)
    heads = _heads(answers, status)
    sizes: Counter[str] = Counter()
    for text, head in heads.items():
        sizes[head] += counts[text]
    answered, first = counts.total(), sizes.most_common(2)
    share = first[0][1] / answered if first else 0.0
    if answered < FEWEST or (len(first) == 2 and first[0][1] == first[1][1]):
        return Vote(None, share, answered, {})
    winner = first[0][0]
    return Vote(winner, share, answered, {
        text: "correct" if heads[text] == winner else _beside(winner, text, status) for text in counts})


def merged(answers: Sequence[str | None], status: Mapping[tuple[str, str], Status]) -> list[str | None]:
    """Each answer as the most frequent one that it is equal to, by what a verifier says of the contested pairs."""
    heads = _heads(answers, status)
    return [None if answer is None else heads[_same(answer)] for answer in answers]


def _heads(answers: Sequence[str | None], status: Mapping[tuple[str, str], Status]) -> dict[str, str]:
    """Each text with the most frequent one that it is equal to, so that no chain of near equals grows."""
    heads: dict[str, str] = {}
    for text in _ranked(answers):
        known = dict.fromkeys(heads.values())
        heads[text] = next((head for head in known if status.get((head, text)) == "correct"), text)
    return heads


def _beside(head: str, text: str, status: Mapping[tuple[str, str], Status]) -> Status:
    found = status.get((head, text)) or status.get((text, head), "undecided")
    return "undecided" if found == "correct" else found


def _ranked(answers: Sequence[str | None]) -> list[str]:
    """The different texts, the most frequent first."""
    counts = Counter(_same(answer) for answer in answers if answer is not None)
    return sorted(counts, key=lambda text: (-counts[text], text))


def _same(answer: str) -> str:
    return " ".join(answer.split())
