"""Steps replayed: arithmetic, searches, letters, grids; and what must not be taken for a step."""

import gzip
import json
from pathlib import Path

import pytest

from verifiers.replay import first_wrong, replay, steps

SHARED = Path(__file__).parents[3] / "shared" / "data"

STRAWBERRY = """<think>The word is s-t-r-a-w-b-e-r-r-y. Going through it, the letter r is at positions 3, 8, 9.
To be safe I look again: the r's are at positions 3, 8, 9 and 10 of this 11-letter word.
Both ways there are three r's.</think>
The answer is 3."""


@pytest.mark.parametrize(
    "text",
    [
        "12 * 7 = 84",
        "So 36 × 8 = 288 eggs.",
        r"\(\frac{3}{4} \times 8 = 6\)",
        "1,250 + 750 = 2,000",
        r"12{,}000 \div 4 = 3{,}000",
        "2/3 = 0.67",
        "7 / 3 ≈ 2.33",
        "3/4 = 75%",
        "2(3 + 4) = 14",
        "2^10 = 1024",
        "**18 - 6 = 12**",
        "Step 3: 4 + 5 = 9",
        "$5 × 3 = $15",
        "5 apples + 3 apples = 8 apples",
        "-5 + 3 = -2",
        "12 x 7 = 84",
        r"\frac{5!}{3!} = 20",
    ],
)
def test_a_line_that_is_right(text: str) -> None:
    assert [step.right for step in steps(text)] == [True]
    assert replay(text, "").status == "correct"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("12 * 7 = 85", "84 is not 85"),
        (r"$$\frac{1}{2} \cdot 4 \cdot 3 = 7$$", "6 is not 7"),
        ("2/3 = 0.65", "2/3 is not 13/20"),
        ("116*117 = 13192, so r is 13192", "13572 is not 13192"),
        ("- 18 + 18 = 35 flamingos", "36 is not 35"),
        ("7 / 2 ≈ 9", "7/2 is not 9"),
    ],
)
def test_a_line_that_is_wrong(text: str, found: str) -> None:
    wrong = first_wrong(text)
    assert wrong is not None and (wrong.kind, wrong.found) == ("arithmetic", found)


def test_a_chain_is_a_step_for_every_sign_and_the_index_counts_steps() -> None:
    text = "12 * 7 = 84 = 80 + 5, then 1 + 1 = 2"
    assert [step.right for step in steps(text)] == [True, False, True]
    verdict = replay(text, "")
    assert (verdict.status, verdict.grade) == ("wrong", "replayed")
    assert verdict.reason == "step 1 (arithmetic) is wrong: 84 = 80 + 5 (84 is not 85)"


@pytest.mark.parametrize(
    "text",
    [
        "x = 5",
        "Let x = 5 and y = 7.",
        "2x + 3 = 8",
        "If 2 + 2 = 5, then pigs fly.",
        "25 + 4 = 1 (mod 7)",
        "We work modulo 7. Then 3 * 5 = 1.",
        "In base 8, 7 + 1 = 10.",
        "2 + 3 < 7",
        "2 + 2 ≠ 5",
        "Substituting gives\n2 + 1 = 1\n(False)",
        "Is 3 * 4 = 13?",
        "half of 3 + 4 = 3.5",
        "4 * 50 cents = $2",
        "2 hours * 60 = 121 minutes",
        "100 / 7 = 14 remainder 2",
        "2/3 = 0.66",
        "3.33 * 3 = 10",
        "3*2=6-1=5",
        "12 + 5*3=15 + 4*1.5=6",
        "total 1000, of which 1/4 = 250",
        "3xy + 5xy = 4",
        r"\sqrt{9} + 1 = 5",
        "log(3 + 4) = 9",
        "f(3) + 1 = 9",
        "a_1 + 2 = 3 and S_{14} = 7",
        "2 + 3 = 5!",
        "9! = 9 × 8!",
        "1 + 2 + ... + 10 = 54",
        "Step 3 - 4 + 5 = 9",
        "5 pairs = 5 * 3",
        "3 + 4 = 8 million",
        "100 + 20% = 120",
        "9^9^9^9 = 1 and 7^99999 = 3",
        "(" * 10_000 + "1 + 1 = 3",
    ],
)
def test_no_false_alarm(text: str) -> None:
    assert [step for step in steps(text) if not step.right] == []


@pytest.mark.parametrize(
    "text",
    [
        "7 * 8 = 54. Wait, that's wrong. 7 * 8 = 56.",
        "7 * 8 = 54, no, 7*8 = 56.",
        "7 * 8 = 54. Let me multiply once more: 7 * 8 = 56.",
    ],
)
def test_a_slip_that_is_taken_back_is_reported_and_not_held_against_the_trace(text: str) -> None:
    slip, again = steps(text)[0], steps(text)[-1]
    assert (slip.right, slip.corrected, again.right) == (False, True, True)
    assert first_wrong(text) is None
    verdict = replay(text, "")
    assert verdict.status == "correct" and "corrected: 0" in verdict.reason


def test_a_slip_that_is_kept_is_wrong() -> None:
    assert replay("7 * 8 = 54. Good, so 54 + 1 = 55.", "").status == "wrong"


def test_the_final_answer_has_to_agree_when_there_is_one() -> None:
    assert replay("3 * 4 = 12. The answer is 12.", "12").status == "correct"
    assert replay("3 * 4 = 12. The answer is 13.", "12").status == "wrong"
    assert replay("3 * 4 = 13. The answer is 12.", "12").status == "wrong"
    assert replay("3 * 4 = 12. The answer is 12.", '{"answer": "12"}').status == "correct"
    assert replay("<think>3 * 4 = 12", "12").status == "undecided"


@pytest.mark.parametrize("response", ["", "The answer is 12.", "\ud800", "\x00", "=" * 1000, "1 + = 2"])
def test_nothing_to_replay_is_undecided(response: str) -> None:
    assert replay(response, "12").status == "undecided"


@pytest.mark.parametrize(
    "reference",
    ['{"numbers": ["x"]}', '{"numbers": 5}', '{"grid": [[1]]}', '{"solution": [[1, 2], [2, 1]]}', '{"numbers": [[]]}'],
)
def test_an_unusable_reference_is_undecided(reference: str) -> None:
    verdict = replay("3 * 4 = 12", reference)
    assert verdict.status == "undecided" and "reference" in verdict.reason


def test_a_huge_response_is_undecided_at_once() -> None:
    assert replay("1 + 1 = 3 " * 300_000, "").status == "undecided"


GAME = '{"numbers": [4, 5, 6, 10], "target": 24}'


def test_a_search_that_follows() -> None:
    text = "10 - 5 = 5 (left: 4 5 6)\n5 * 6 = 30 (left: 4 30)\n"
    text += "10 - 4 = 6 (left: 5 6 6)\n"  # back to the beginning
    text += "5 * 6 = 30 (left: 6 30)\n30 - 6 = 24 (left: 24)\nAnswer: 5 * (10 - 4) - 6 = 24"
    assert [step.kind for step in steps(text, GAME)] == ["search"] * 5 + ["arithmetic"]
    verdict = replay(text, GAME)
    assert verdict.status == "correct", verdict.reason
    assert replay(text.replace("Answer: 5 * (10 - 4) - 6 = 24", "Answer: 6 * 4 = 24"), GAME).status == "wrong"
    assert replay(text.partition("Answer")[0] + "No answer.", GAME).status == "undecided"


@pytest.mark.parametrize(
    ("text", "index", "found"),
    [
        ("10 - 4 = 6 (left: 5 6 6)\n6 * 6 = 36 (left: 5 6 36)", 1, "5 36 are left, not 5 6 36"),
        ("6 - 4 = 2 (left: 2 5 10)\n10 * 1 = 10 (left: 2 5 10)", 1, "1 is not among 2 5 10"),
        ("10 - 4 = 5 (left: 5 5 6)", 0, "10 - 4 is 6, not 5"),
        ("9 - 4 = 5 (left: 5 5 6)", 0, "9 is not among 4 5 6 10"),
    ],
)
def test_a_search_that_does_not_follow(text: str, index: int, found: str) -> None:
    wrong = first_wrong(text, GAME)
    assert wrong is not None and (wrong.kind, wrong.index, wrong.found) == ("search", index, found)


def test_a_search_without_its_numbers_starts_from_what_it_uses() -> None:
    assert first_wrong("8 / 3 = 8/3 (left: 8/3 3 8)\n3 - 8/3 = 1/3 (left: 1/3 8)\n8 / 1/3 = 24 (left: 24)") is None
    assert first_wrong("10 - 4 = 6 (left: 5 6 6)\n7 - 5 = 2 (left: 2 6)") is not None


def test_the_strawberry_trace_is_caught_although_its_answer_is_right() -> None:
    reference = '{"word": "strawberry", "answer": "3"}'
    verdict = replay(STRAWBERRY, reference)
    assert (verdict.status, verdict.answer) == ("wrong", "3")
    wrong = [step for step in steps(STRAWBERRY, reference) if not step.right]
    assert [(step.index, step.kind, step.found) for step in wrong] == [
        (2, "letters", "r is at 3, 8, 9"), (3, "count", "it has 10 letters")]  # fmt: skip
    mended = STRAWBERRY.replace(" and 10 of this 11-letter word", " of this 10-letter word")
    assert replay(mended, reference).status == "correct"


@pytest.mark.parametrize(
    "text",
    [
        "r at 3, 8, 9",
        "r at 3, 8 and 9",
        "The r's are at positions 3, 8, 9.",
        "The 3rd letter is r. The 4th letter is a.",
        "Position 3: r",
        "1. s\n2. t\n3. r\n4. a",
        "s - t - r - a - w - b - e - r - r - y",
        "b-e-r-r-y has two r's",
        "There are 3 r's in strawberry.",
        "there are two r's in berry",
        "The letter r appears 3 times.",
        "It is a 10-letter word.",
        "With indices from 0, r is at index 2, 7, 8.",
    ],
)
def test_letters_that_are_right(text: str) -> None:
    found = steps(text, '{"word": "Strawberry"}')
    assert found and all(step.right for step in found), found


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("r at 3, 8, 9 and 10", "letters"),
        ("The r's are at positions 3 and 8.", "letters"),
        ("The 4th letter is r.", "letters"),
        ("1. s\n2. t\n3. a\n4. r", "letters"),
        ("s-t-r-a-w-b-e-r-y", "letters"),
        ("There are 2 r's in strawberry.", "count"),
        ("there are three r's in berry", "count"),
        ("It is an 11-letter word.", "count"),
    ],
)
def test_letters_that_are_wrong(text: str, kind: str) -> None:
    wrong = first_wrong(text, '{"word": "strawberry"}')
    assert wrong is not None and wrong.kind == kind


@pytest.mark.parametrize(
    "text",
    ["So far there are 2 r's.", "Are there 2 r's?", "It is not an 11-letter word.", "a b c d", "There are 2 rows.",
     "I at 5 o'clock", "Some think there are 2 r's in strawberry."],
)  # fmt: skip
def test_no_false_alarm_about_letters(text: str) -> None:
    assert first_wrong(text, '{"word": "strawberry"}') is None


LATIN = '{"grid": [[1, 0, 0], [0, 3, 0], [0, 0, 2]]}'


def test_a_grid_is_checked_against_its_givens_and_its_lines() -> None:
    assert replay("r1c2 = 2, so r1c3 = 3.\n1 2 3\n2 3 1\n3 1 2\n", LATIN).status == "correct"
    assert "row 2, column 2 is 3" in replay("Row 2, column 2 is 1.", LATIN).reason
    assert "1 is already in row 1, column 1" in replay("r1c2 = 1", LATIN).reason
    assert replay("1 2 3\n2 3 1\n1 3 2\n", LATIN).status == "wrong"
    solved = '{"grid": [[1, 0], [0, 0]], "solution": [[1, 2], [2, 1]]}'
    assert "row 1, column 2 is 2" in replay("r1c2 = 1", solved).reason


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data are not here")
def test_searches_of_gpt4_are_judged_as_labelled() -> None:
    lucky = "game24-928-gpt4-10"  # (13 - 9) * (12 - 6) is 24, but the trace says 48
    statuses = []
    with gzip.open(SHARED / "traces" / "game24_gpt4_cot.jsonl.gz", "rt") as file:
        for row in map(json.loads, file):
            game = json.dumps({"numbers": row["meta"]["numbers"], "target": 24})
            status = replay(row["trace"], game).status
            assert (status == "correct") == (row["correct"] and row["id"] != lucky), row["id"]
            statuses.append(status)
    assert statuses.count("correct") == 35 and statuses.count("wrong") > 500
