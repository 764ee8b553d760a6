"""Real graded answers: do our verdicts agree with the labels, source by source, and whose mistake is each difference?

    .venv/bin/python -m benchmarks.real_answers [DIR] [--out DISAGREEMENTS.jsonl]

DIR holds answers/reasoning_gym_answers.jsonl.gz (a final answer and its exact score each) and traces/*.jsonl.gz (whole
responses with a `correct` label; null is left out). An undecided verdict disagrees with a right answer and agrees with
a wrong one. Every disagreement is written to --out with its cause; the causes are predicates below, found by reading
the disagreements, and what no predicate explains counts as ours. Exits 1 when a mathematical source has less than 0.99
agreement after the causes that are the label's or the task's own were taken out.
"""

import argparse
import ast
import gzip
import json
import math
import operator
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import machine
from verifiers import Case, Verdict, verify_many
from verifiers.normal_form import compact, tidy

DATA = Path(__file__).parents[2] / "shared" / "data"
MATHEMATICAL = frozenset(["arithmetic", "algebra", "geometry", "math"])  # reasoning-gym's categories, a trace's domain
AGREEMENT = 0.99

# Tasks that many answers solve: only their own scorer can tell, so a comparison with one gold would mean nothing.
SEVERAL_ANSWERS = frozenset([
    "boxnet", "codeio", "countdown", "cryptarithm", "game_of_life_halting", "graph_color", "group_anagrams",
    "jugs", "knight_swap", "maze", "n_queens", "palindrome_generation", "palindrome_partitioning", "puzzle24",
    "quantum_lock", "rearc", "rubiks_cube", "rush_hour", "sentence_reordering", "shortest_path", "sokoban",
    "tower_of_hanoi", "tsumego", "word_ladder",
])  # fmt: skip
# Tasks answered by a text as it stands: letters, cells, names. All others, and all traces not named, go to math_equal.
TEXT = frozenset([
    "ab", "acre", "aiw", "arc_1d", "arc_agi", "bf", "binary_matrix", "caesar_cipher", "circuit_logic",
    "color_cube_rotation", "commonsense", "emoji_mystery", "family_relationships", "figlet_font", "futoshiki",
    "game_of_life", "isomorphic_strings", "knights_knaves", "letter_jumble", "list_functions", "logic",
    "mahjong_puzzle", "manipulate_matrix", "mini_sudoku", "modulo_grid", "needle_haystack", "number_filtering",
    "number_sorting", "pool_matrix", "propositional_logic", "ransom_note", "rotate_matrix", "self_reference",
    "spell_backward", "spiral_matrix", "string_insertion", "string_manipulation", "string_splitting",
    "string_synthesis", "sudoku", "syllogism", "word_sequence_reversal", "word_sorting", "zebra_puzzles",
])  # fmt: skip

# Tasks that ask for a rounded number, or whose scorer has a tolerance.
ROUNDED = frozenset(["advanced_geometry", "decimal_arithmetic", "number_format", "power_function"])


class Row(NamedTuple):
    id: str
    source: str
    field: str  # what it is about
    case: Case
    right: bool
    score: float | None


def read(folder: Path) -> Iterator[Row]:
    for file in [*sorted(folder.glob("answers/*.jsonl.gz")), *sorted(folder.glob("traces/*.jsonl.gz"))]:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                given = json.loads(line)
                if given["correct"] is not None and given["gold"] not in (None, "None"):
                    yield from _row(given)


def _row(given: dict[str, Any]) -> Iterator[Row]:
    field = given.get("domain") or given["meta"]["category"]
    task = given["source"].removeprefix("reasoning-gym/")
    if task in SEVERAL_ANSWERS:
        return
    verifier = "exact_match" if {task, field} & TEXT else "math_close" if task in ROUNDED else "math_equal"
    response = given.get("trace") or rf"\boxed{{{given['final']}}}"
    source = f"{given['source']} ({field})" if "domain" in given else given["source"]
    yield Row(given["id"], source, field, Case(verifier, response, given["gold"]), given["correct"], given.get("score"))


# -- whose mistake is it? The first predicate that holds says so.

_NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?")


def _numbers(text: str) -> list[float]:
    return [float(found.replace(",", "")) for found in _NUMBER.findall(text)]


def same_text(row: Row, verdict: Verdict) -> bool:
    return not row.right and compact(tidy(verdict.answer or "")) == compact(tidy(row.case.reference))


def same_numbers(row: Row, verdict: Verdict) -> bool:
    """`x = 88`, `151.0`, unreduced fractions: the scorer gives a part of the points, and the label says wrong."""
    mine, gold = _numbers(verdict.answer or ""), _numbers(row.case.reference)
    ratio = len(mine) == len(gold) == 2 and mine[0] * gold[1] == gold[0] * mine[1]
    return verdict.status == "correct" and row.score is not None and 0 < row.score < 1 and (mine == gold or ratio)


def form(row: Row, verdict: Verdict) -> bool:
    """A product where the task wants the number, a chain of equations or LaTeX where its scorer reads plain text."""
    if verdict.status != "correct" or row.score != 0:
        return False
    mine, gold = [[_value(text, x) for x in (0.37, 0.59)] for text in (verdict.answer or "", row.case.reference)]
    gaps = [abs(a - b) / max(abs(a), abs(b), 1e-9) for a, b in zip(mine, gold, strict=True)]
    constant = "+ C" in row.case.reference and abs((mine[0] - gold[0]) - (mine[1] - gold[1])) < 1e-9
    return max(gaps) < 1e-9 or constant


def _value(text: str, x: float) -> float:
    """Of an expression in one variable, by floats and Python's own grammar (nothing is executed); NaN for any other."""
    plain = re.sub(r"\\frac\{(\w+)\}\{(\w+)\}", r"(\1/\2)", text.rpartition("=")[2])
    for written, python in (("^", "**"), ("×", "*"), ("÷", "/"), ("arc", "a"), ("ln", "log")):
        plain = plain.replace(written, python)
    try:
        return _evaluated(ast.parse(plain.strip(), mode="eval").body, x)
    except (SyntaxError, KeyError, AttributeError, TypeError, ValueError, ArithmeticError):
        return math.nan


def _evaluated(node: Any, x: float) -> float:
    if isinstance(node, ast.BinOp):
        return float(_OPERATORS[type(node.op)](_evaluated(node.left, x), _evaluated(node.right, x)))
    if isinstance(node, ast.UnaryOp):
        return -_evaluated(node.operand, x)
    if isinstance(node, ast.Call):
        return float(_FUNCTIONS[node.func.id](_evaluated(node.args[0], x)))  # type: ignore[attr-defined]
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]
    return 0.0 if node.id == "C" else x


_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
              ast.Pow: operator.pow}  # fmt: skip
_FUNCTIONS = {name: getattr(math, name) for name in ("sin", "cos", "asin", "acos", "atan", "sqrt", "log", "exp")}


def nearly(row: Row, verdict: Verdict) -> bool:
    """Labelled right although the task's own scorer kept a part of the points back: another time, another root."""
    return row.right and row.score is not None and 0 < row.score < 1


def rounded(row: Row, verdict: Verdict) -> bool:
    """The same numbers but for less than a hundredth of each: the scorer's tolerance, or the digits that it wants."""
    mine, gold = _numbers(verdict.answer or ""), _numbers(row.case.reference)
    pairs = zip(mine, gold, strict=False)
    near = len(mine) == len(gold) > 0 and all(abs(a - b) <= 0.01 * max(abs(a), abs(b)) for a, b in pairs)
    return row.score is not None and verdict.status != "undecided" and near


def open_reference(row: Row, verdict: Verdict) -> bool:
    return row.right and "Integral(" in row.case.reference


def prose(row: Row, verdict: Verdict) -> bool:
    words = re.findall(r"(?<!\\)\b[a-zA-Z]{3,}", verdict.answer or "")
    return row.right and len(words) > 2


CAUSES: list[tuple[str, str, Callable[[Row, Verdict], bool]]] = [
    ("theirs", "labelled wrong, yet the answer is the reference's text", same_text),
    ("theirs", "the reference is an integral left open", open_reference),
    ("theirs", "labelled right, yet not given all points by the task's scorer", nearly),
    ("ambiguous", "the same numbers, with part of the points for another form", same_numbers),
    ("ambiguous", "equal, but in a form that the scorer cannot read", form),
    ("ambiguous", "another number by its rounding, on which the task's scorer has its own rule", rounded),
    ("ours", "an answer in prose", prose),
]


class Disagreement(NamedTuple):
    row: Row
    verdict: Verdict
    side: str
    cause: str


def agree(row: Row, verdict: Verdict) -> bool:
    return (verdict.status == "correct") == row.right


def sort(row: Row, verdict: Verdict) -> Disagreement:
    for side, cause, holds in CAUSES:
        if holds(row, verdict):
            return Disagreement(row, verdict, side, cause)
    return Disagreement(row, verdict, "ours", f"{'right' if row.right else 'wrong'}, but {verdict.status}")


# -- tables


class Source(NamedTuple):
    name: str
    mathematical: bool
    rows: int
    sides: Counter[str]
    undecided: int

    def agreement(self) -> float:
        return 1 - self.sides.total() / self.rows

    def ours_alone(self) -> float:
        """Agreement without the rows whose label or task is at fault."""
        counted = self.rows - self.sides["theirs"] - self.sides["ambiguous"]
        return 1 - self.sides["ours"] / counted if counted else 1.0


def sources(judged: list[tuple[Row, Verdict]], differ: list[Disagreement]) -> list[Source]:
    rows: dict[str, list[tuple[Row, Verdict]]] = defaultdict(list)
    for row, verdict in judged:
        rows[row.source].append((row, verdict))
    found = [Source(name, pairs[0][0].field in MATHEMATICAL, len(pairs),
                    Counter(d.side for d in differ if d.row.source == name),
                    sum(verdict.status == "undecided" for _, verdict in pairs)) for name, pairs in rows.items()]
    return sorted(found, key=lambda source: (not source.mathematical, source.ours_alone(), source.agreement()))


def table(found: list[Source]) -> None:
    print("\n| source | rows | agreement | ours | theirs | ambiguous | without theirs and ambiguous | undecided |"
          "\n|---|---|---|---|---|---|---|---|")
    for one in found:
        name = f"**{one.name}**" if one.mathematical else one.name
        counts = " | ".join(str(one.sides[side]) for side in ("ours", "theirs", "ambiguous"))
        print(f"| {name} | {one.rows} | {one.agreement():.4f} | {counts} | {one.ours_alone():.4f} | {one.undecided} |")


def causes(differ: list[Disagreement]) -> None:
    print("\n| whose | cause | mathematical | other |\n|---|---|---|---|")
    counts = Counter((d.side, d.cause, d.row.field in MATHEMATICAL) for d in differ)
    for side, cause in sorted({(side, cause) for side, cause, _ in counts}):
        print(f"| {side} | {cause} | {counts[side, cause, True]} | {counts[side, cause, False]} |")


def write(path: Path, differ: list[Disagreement]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for d in differ:
            told = {"whose": d.side, "cause": d.cause, "source": d.row.source, "id": d.row.id, "right": d.row.right,
                    "score": d.row.score, "status": d.verdict.status, "reference": d.row.case.reference,
                    "answer": d.verdict.answer, "reason": d.verdict.reason, "end": d.row.case.response[-300:]}
            file.write(json.dumps(told) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description="Agreement with the labels of real answers, source by source.")
    parser.add_argument("folder", type=Path, nargs="?", default=DATA)
    parser.add_argument("--out", type=Path, help="a JSON lines file for every disagreement")
    chosen = parser.parse_args()
    rows = list(read(chosen.folder))
    if not rows:
        parser.error(f"{chosen.folder} has no answers/*.jsonl.gz or traces/*.jsonl.gz with labels")
    print(machine())
    judged = list(zip(rows, verify_many((row.case for row in rows), timeout=5.0), strict=True))
    differ = [sort(row, verdict) for row, verdict in judged if not agree(row, verdict)]
    found = sources(judged, differ)
    table(found)
    causes(differ)
    if chosen.out:
        write(chosen.out, differ)
    return judge(found, len(rows))


def judge(found: list[Source], rows: int) -> int:
    mathematical = [source for source in found if source.mathematical]
    short = [source.name for source in mathematical if source.ours_alone() < AGREEMENT]
    raw = sum(source.agreement() >= AGREEMENT for source in mathematical)
    print(f"\n{rows:,} answers; of {len(mathematical)} mathematical sources {len(mathematical) - len(short)} agree to "
          f">= {AGREEMENT} ({raw} with every label taken as true): "
          f"{'met' if not short else 'MISSED by ' + ', '.join(short)}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
