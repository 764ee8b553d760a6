"""Game of 24 and Countdown: one clear rule, no way around it."""

import json
from pathlib import Path

import pytest

from verifiers.number_game import CHARACTERS, DEPTH, number_game

SHARED = Path(__file__).parents[3] / "shared"


def status(response: str, *numbers: int, target: int = 24) -> str:
    return number_game(response, json.dumps({"numbers": numbers, "target": target})).status


@pytest.mark.parametrize(
    "response",
    [
        "(1+2+3)*4",
        "(1 + 2 + 3) × 4",
        "(1+2+3)·4",
        "(1+2+3)⋅4",
        "**(1+2+3)*4**",
        "`(1+2+3)*4`",
        r"(1+2+3)\*4",
        r"\boxed{(1+2+3)\times4}",
        r"\boxed{\left(1+2+3\right)\cdot 4 = 24}",
        r"The answer is $(1+2+3) \times 4 = 24$.",
        "24 = (1+2+3)*4",
        "(1+2+3)*4 = 6*4 = 24",
        "<answer>(1+2+3)*4</answer>",
        "<think>1+2+3+4 = 10, no.</think>\n<answer>\n(1+2+3)*4\n</answer>",
        "One solution is: (1+2+3)*4 = 24.",
        "Steps: 1+2=3 (left: 3 3 4)\n3+3=6 (left: 4 6)\n6*4=24 (left: 24)\nAnswer: (1+2+3)*4 = 24",
        "-(−1–2-3)*4",
    ],
)
def test_a_solution_counts_in_all_its_spellings(response: str) -> None:
    assert status(response, 1, 2, 3, 4) == "correct"


@pytest.mark.parametrize("response", ["8/(3-8/3)", r"8 \div (3 - 8 ÷ 3)", r"\boxed{\dfrac{8}{3-\frac{8}{3}}}"])
def test_division_is_exact(response: str) -> None:
    assert status(response, 3, 3, 8, 8) == "correct"


def test_the_target_is_24_unless_said() -> None:
    assert number_game("4*6", '{"numbers": [4, 6]}').status == "correct"
    assert status("95-20-28+98+92", 92, 95, 20, 28, 98, target=237) == "correct"
    assert status("1-3", 1, 3, target=-2) == "correct"


@pytest.mark.parametrize(
    ("response", "numbers"),
    [
        ("5**(1+1)-1", [1, 1, 1, 5]),
        ("4*(13//(1+1))", [1, 1, 4, 13]),
        ("(1.9**5)//1", [1, 1, 5, 9]),
        ("1.2*4*5", [1, 2, 4, 5]),
        ("14+10.0", [10, 14]),
        ("5!/5", [5, 5]),
        ("4!", [1, 2, 3, 4]),
        ("5^2-1", [1, 2, 5]),
        (r"\sqrt{16}*6", [6, 16]),
        ("√16*6", [6, 16]),
        ("1_4+1_0", [10, 14]),
        ("14.+10.", [10, 14]),
        ("1e1+14", [10, 14]),
        ("0xA+14", [10, 14]),
        ("024", [24]),
        ("２４", [24]),
        ("12+12", [1, 2, 1, 2]),
        ("4*6*1", [4, 6]),
        ("4*6", [4, 6, 1]),
        ("(1+2+3)*4+1-1", [1, 2, 3, 4]),
        ("4*7", [4, 6]),
        ("4*6 = 25", [4, 6]),
        ("25 = 4*6", [4, 6]),
        ("4+6 = 24", [4, 6]),
        ("4*6 == 24", [4, 6]),
        ("1/0", [1, 0]),
        ("24/(4-4)", [4, 4, 24]),
        ("24%25", [24, 25]),
        ("abs(4-28)", [4, 28]),
        ("10**10**10", [10, 10, 10]),
    ],
)
def test_what_breaks_the_rules_is_wrong(response: str, numbers: list[int]) -> None:
    assert status(response, *numbers) == "wrong"


@pytest.mark.parametrize(
    "response",
    [
        "",
        "(1+2+3)*4; import os",
        "(1+2+3)*4 #",
        "__import__('os').system('true') or (1+2+3)*4",
        "There is no solution!",
        "It cannot be made with 1, 2, 3 and 4.",
        "24",
        r"\boxed{24}",
        "(1+2+3)*4, 4*(1+2+3)",
        "(1+2+3)*",
        "(1+2+3*4",
        "4(1+2+3)",
        "4x(1+2+3)",
        "4x3x2x1",
        "1. (1+2+3)*4",
        "1 2 3 4",
        r"\frac12",
        "-(1-2-3)*4+... ",
        "[1+2+3]*4",
        "<think>(1+2+3)*4",
        "<think>The answer is (1+2+3)*4 = 24</think>",
        "<think>The answer is (1+2+3)*4 = 24</think> I give up.",
        "(" * DEPTH + "(1+2+3)*4" + ")" * DEPTH,
        "(1+2+3)*4" + "+0" * CHARACTERS,
    ],
)
def test_what_cannot_be_read_is_undecided_and_says_why(response: str) -> None:
    verdict = number_game(response, '{"numbers": [1, 2, 3, 4]}')
    assert verdict.status == "undecided"
    assert verdict.reason


@pytest.mark.parametrize(
    "reference",
    ["", "24", "[1, 2]", "{}", '{"numbers": []}', '{"numbers": [1.5]}', '{"numbers": [true]}', '{"numbers": [-1]}',
     '{"numbers": "12"}', '{"numbers": [4, 6], "target": "24"}', '{"numbers": [4, 6]'],
)  # fmt: skip
def test_an_unusable_reference_is_undecided(reference: str) -> None:
    verdict = number_game("4*6", reference)
    assert (verdict.status, "reference" in verdict.reason) == ("undecided", True)


@pytest.mark.skipif(not SHARED.exists(), reason="the labelled cases are not here")
def test_the_labelled_cases() -> None:
    cases = [json.loads(line) for line in (SHARED / "cases" / "answers.jsonl").read_text().splitlines()]
    games = [case for case in cases if case["task"] == "countdown"]
    verdicts = [number_game(case["prediction"], case["gold"]).status == "correct" for case in games]
    assert verdicts == [case["expected"] for case in games]
    assert len(games) >= 27


@pytest.mark.skipif(not SHARED.exists(), reason="the gold tests are not here")
def test_the_gold_tests() -> None:
    gold = json.loads((SHARED / "reference" / "gold_tests.json").read_text())["game24"]
    assert [status(text, *numbers) for text, numbers in gold["accept"]] == ["correct"]
    assert "correct" not in {status(text, *numbers) for text, numbers, _ in gold["reject"]}
