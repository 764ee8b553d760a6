"""A verifier as a reward: TRL's shapes in, a number or None a completion out, and nothing of the factory imported."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from verifiers.rewards import reward, text

ROOT = Path(__file__).parents[2]
SAID = [r"\boxed{5}", r"\boxed{6}", "", "The answer is 5."]


@pytest.fixture(scope="module")
def exact() -> Callable[..., Any]:
    return reward("exact_match", workers=1)


def test_strings_and_chats_are_rewarded_and_undecided_is_none(exact: Callable[..., Any]) -> None:
    chats = [[{"role": "assistant", "content": said}] for said in SAID]
    for completions in (SAID, chats):
        assert exact(prompts=["?"] * 4, completions=completions, reference=["5"] * 4) == [1.0, 0.0, None, 1.0]


@pytest.mark.parametrize("column", ["reference", "answer", "solution"])
def test_the_right_answer_is_in_any_of_three_columns(exact: Callable[..., Any], column: str) -> None:
    columns = {column: [5, "$5$"], "trainer_state": None, "completion_ids": [[1], [2]]}
    assert exact(["?", "?"], [r"\boxed{5}", r"\boxed{4}"], **columns) == [1.0, 0.0]


def test_the_numbers_are_settable() -> None:
    made = reward("exact_match", workers=1, correct=2, wrong=-1, undecided=-0.5)
    assert made([], SAID, answer=["5"] * 4) == [2, -1, -0.5, 2]
    assert made([], [], answer=[]) == []


def test_a_verdict_that_a_program_could_have_forged_is_not_rewarded() -> None:
    tests = "import solution\ndef test():\n    assert solution.apply(lambda x: x + 1, 2) == 3"
    reference = json.dumps({"kind": "unittest", "code": tests})
    certain = json.dumps({"kind": "asserts", "tests": ["assert apply(len, [2]) == 1"]})
    said = "```python\ndef apply(f, x):\n    return f(x)\n```"
    assert reward("code_tests", workers=1)([], [said] * 2, answer=[reference, certain]) == [None, 1.0]


def test_a_dataset_without_answers_is_one_sentence(exact: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="no column with the right answers: name one of its columns 'reference'"):
        exact(["?"], ["5"], topic=["sums"])


def test_an_unknown_verifier_is_said_before_any_training() -> None:
    with pytest.raises(LookupError, match="There is no verifier 'maths'"):
        reward("maths")


def test_it_is_named_after_its_verifier(exact: Callable[..., Any]) -> None:
    assert exact.__name__ == "exact_match_reward"
    assert reward().__name__ == "math_equal_reward"


def test_the_text_of_a_chat_is_its_last_message() -> None:
    blocks = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    assert text([{"role": "assistant", "content": "x"}, {"role": "assistant", "content": blocks}]) == "ab"
    assert text([]) == text([{"role": "assistant", "content": None}]) == ""


def test_nothing_of_the_factory_is_imported() -> None:
    code = r"""
import sys
from verifiers.rewards import reward
print(reward("exact_match", workers=1)(["?"], [r"\boxed{5}"], reference=["5"]))
print(sorted(m for m in sys.modules if m.split(".")[0] in ("factory", "flows", "sympy", "math_verify")))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[1.0]\n[]\n", "")
