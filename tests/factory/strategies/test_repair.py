"""`repair` shows the model the first public test that fails, and nothing else; the steps are the certificate."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from factory.protocols import UserError
from factory.records import Completion, Message, Problem
from factory.strategies.repair import repair
from verifiers.code_tests import missing

HIDDEN = "987654"
REFERENCE = json.dumps({
    "kind": "stdio", "public": 2, "limits": {"cpu_s": 1.0}, "solution": "print(int(input()) * 2) # secret",
    "tests": [{"stdin": "1\n", "stdout": "2\n"}, {"stdin": "3\n", "stdout": "6\n"},
              {"stdin": f"{HIDDEN}\n", "stdout": f"{2 * int(HIDDEN)}\n"}]})
RIGHT = "```python\nprint(int(input()) * 2)\n```"
WRONG = "```python\nprint(int(input()) + 1)\n```"  # right about the first test


MISSING = missing()
needs_sandbox = pytest.mark.skipif(bool(MISSING), reason=MISSING or "a sandbox is here")


class Model:
    """Gives its answers one after the other, and keeps what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = list(answers), list[Sequence[Message]]()

    async def ask(self, messages: Sequence[Message]) -> Completion:
        self.asked.append([Message(role=m["role"], content=m["content"]) for m in messages])
        text = self.answers[len(self.asked) - 1]
        return Completion("", text, text, "stop", 10, 5, thinking_tokens=1)


def repaired(model: Model, reference: str = REFERENCE, **keys: Any) -> Completion:
    return asyncio.run(repair(Problem("Double it.", reference, "code_tests"), model.ask, **keys))


def states(completion: Completion) -> list[dict[str, Any]]:
    return [json.loads(s.state or "") for s in completion.steps if s.kind == "attempt"]


@needs_sandbox
def test_a_wrong_program_is_shown_its_first_failing_public_test_and_mended() -> None:
    model = Model(WRONG, RIGHT)
    found = repaired(model)
    assert found.raw == RIGHT
    assert [(s.index, s.kind, s.parent) for s in found.steps] == [(0, "attempt", None), (1, "feedback", 0),
                                                                 (2, "attempt", 1)]
    assert [s["status"] for s in states(found)] == ["wrong", "correct"]
    assert [s["tests"] for s in states(found)] == [["passed", "wrong_answer"], ["passed", "passed"]]
    assert [m["role"] for m in model.asked[1]] == ["user", "assistant", "user"]
    assert model.asked[1][1]["content"] == WRONG
    told = model.asked[1][2]["content"]
    assert "Input:\n3\n" in told and "Expected output:\n6\n" in told and "got '4', expected '6'" in told
    assert told == found.steps[1].text
    assert (found.prompt_tokens, found.completion_tokens, found.thinking_tokens) == (20, 10, 2)


@needs_sandbox
def test_no_hidden_test_and_no_solution_reaches_the_model_whatever_it_writes() -> None:
    model = Model("```python\nprint(open('/proc/self/cmdline').read())\n```",
                  "```python\nraise ValueError(input())\n```",
                  "```python\nimport sys; print(sys.stdin.read() * 99)\n```", "no program", WRONG)
    repaired(model, attempts=5)
    said = json.dumps(model.asked)
    assert len(model.asked) > 2
    assert HIDDEN not in said and str(2 * int(HIDDEN)) not in said and "secret" not in said


@needs_sandbox
def test_a_program_that_passes_at_once_is_asked_for_once() -> None:
    model = Model(RIGHT)
    assert len(repaired(model).steps) == 1
    assert len(model.asked) == 1


@needs_sandbox
def test_the_last_attempt_is_the_answer_even_if_it_fails() -> None:
    model = Model(WRONG, WRONG + " ", WRONG + "  ")
    found = repaired(model, attempts=3)
    assert found.raw == WRONG + "  "
    assert [s["status"] for s in states(found)] == ["wrong"] * 3
    assert [s.kind for s in found.steps] == ["attempt", "feedback"] * 2 + ["attempt"]


def test_without_public_tests_nothing_is_run_or_shown() -> None:
    model = Model(WRONG)
    found = repaired(model, reference=json.dumps({**json.loads(REFERENCE), "public": 0}))
    assert [(s["status"], s["reason"]) for s in states(found)] == [("undecided", "the problem has no public tests")]


@needs_sandbox
def test_it_can_be_told_how_to_say_it() -> None:
    model = Model(WRONG, RIGHT)
    repaired(model, feedback="No: {test}", system="Be brief.", prefix=">> ", suffix=" <<")
    assert [m["content"] for m in model.asked[0]] == ["Be brief.", ">> Double it. <<"]
    assert model.asked[1][3]["content"] == "No: Input:\n3\n\nExpected output:\n6\n"


@pytest.mark.parametrize(("keys", "sentence"), [
    ({"attempts": 1}, "repair with attempts = 1 repairs nothing"), ({"feedback": "Again!"}, "put {test} into it")])
def test_parameters_that_make_no_sense_are_one_sentence(keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        repaired(Model(), **keys)


def test_a_problem_without_tests_is_refused() -> None:
    with pytest.raises(UserError, match="use problems of the verifier code_tests"):
        asyncio.run(repair(Problem("1+1?", "2"), Model().ask))
