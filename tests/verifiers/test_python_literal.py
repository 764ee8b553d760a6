"""Literals are compared as values with their types; what is none is undecided."""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pytest

from verifiers.python_literal import python_literal

CRUXEVAL = Path(__file__).parents[3] / "shared" / "data" / "code" / "cruxeval.jsonl.gz"


@pytest.mark.parametrize(("response", "reference"), [
    (r"\boxed{[1, 2]}", "[1,2]"), (r"\boxed{\{'a': 1\}}", "{'a': 1}"), (r"\boxed{'a\_b'}", "'a_b'"),
    (r"\boxed{{'b': 2, 'a': 1}}", "{'a': 1, 'b': 2}"),
    ("<think>[3]</think>The answer is `'x y'`.", "'x y'"), ('Answer: "x"', "'x'"), (r"\boxed{set()}", "set()"),
    ("So it prints:\n```python\n[(1, 'a'),\n (2, 'b')]\n```", "[(1, 'a'), (2, 'b')]"), (r"\boxed{-1}", "-1"),
    (r"\boxed{'a\nb'}", r"'a\nb'"), (r"\boxed{\text{True}}", "True"), (r"\boxed{None}", "None"), (r"$1.5$", "1.5"),
    (r"\boxed{{3, 1}}", "{1, 3}"), (r"\boxed{b'x'}", "b'x'")])
def test_equal_literals_are_correct(response: str, reference: str) -> None:
    assert python_literal(response, reference).status == "correct"


@pytest.mark.parametrize(("answer", "reference"), [
    ("[1, 2]", "(1, 2)"), ("1", "1.0"), ("1", "True"), ("'1'", "1"), ("{1: 2}", "{True: 2}"), ("[1, 2]", "[2, 1]"),
    ("'a '", "'a'"), ("0", "False"), ("b'x'", "'x'"), ("[]", "set()")])
def test_other_values_and_other_types_are_wrong(answer: str, reference: str) -> None:
    assert python_literal(f"\\boxed{{{answer}}}", reference).status == "wrong"


@pytest.mark.parametrize("response", [
    "", "<think>[1", "I give up", r"\boxed{x + 1}", r"\boxed{__import__('os').getcwd()}", r"\boxed{[1}",
    r"\boxed{9**9**9}",
    "\\boxed{" + "(" * 90_000 + ")" * 90_000 + "}", "\\boxed{" + "-" * 90_000 + "1}", "\\boxed{{[]: 1}}",
    "\\boxed{" + "9" * 90_000 + "}"])
def test_what_is_no_literal_is_undecided(response: str) -> None:
    assert python_literal(response, "[1]").status == "undecided"


def test_a_reference_that_is_no_literal_is_undecided() -> None:
    assert "the reference is no Python literal" in python_literal(r"\boxed{1}", "one").reason


@pytest.mark.skipif(not CRUXEVAL.exists(), reason="the shared data are not here")
def test_the_answers_of_cruxeval_are_read_and_equal_to_themselves_alone() -> None:
    with gzip.open(CRUXEVAL) as lines:
        answers = [json.loads(line)["answer"] for line in lines]
    boxed = [(f"\\boxed{{{a}}}", a) for a in answers if "{" not in a and "}" not in a]
    assert {python_literal(response, a).status for response, a in boxed} == {"correct"}
    assert all(python_literal(f"The answer is {a}", b).status != "correct" for a, b in pairwise(answers) if a != b)
