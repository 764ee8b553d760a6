"""Overthinking: the paper's figure by formula and through a text, and how texts are split."""

import json
from pathlib import Path

import pytest

from factory.measures._compiled import LEADS
from factory.measures.overthinking import Solution, _right, efficiency, overthinking
from factory.records import Completion, Problem, Request, Trace
from factory.solutions import starts_over
from factory.thoughts import split
from verifiers.math_equal import math_equal

GOLD = Path(__file__).parents[4] / "shared" / "reference" / "gold_tests.json"
PROBLEM = Problem("What is 2 + 3?", "5")
SIZES = (39, 109, 39, 29, 29, 19, 59)  # of the solutions that are the first of their kind, in the figure's instance


def trace(raw: str) -> Trace:
    thinking, response = split(raw)
    return Trace(Request(PROBLEM.id, "{}", "{}", 0), Completion(thinking, response, raw, "stop"))


def instance() -> tuple[Solution, ...]:
    """13 solutions of 901 tokens, all right, seven of a kind of their own."""
    rest = 901 - sum(SIZES)
    repeated = [rest // 6] * 5 + [rest - rest // 6 * 5]
    return tuple(Solution(size, True, True) for size in SIZES) + tuple(Solution(size, True, False) for size in repeated)


def figures(raw: str, reference: str = "5") -> dict[str, float]:
    problem = Problem(PROBLEM.prompt, reference)
    return {of: overthinking(problem, trace(raw), of=of)
            for of in ("outcome", "process", "solutions", "distinct", "first_correct")}


def test_the_papers_figure_comes_out_by_the_formulas() -> None:
    found = efficiency(instance())
    assert round(found["outcome"], 4) == 0.0433 and round(found["process"], 4) == 0.3585
    assert (found["solutions"], found["distinct"], found["first_correct"]) == (13, 7, 39)


@pytest.mark.skipif(not GOLD.exists(), reason="there is no ../shared")
def test_the_figure_is_that_of_the_gold_tests() -> None:
    gold = json.loads(GOLD.read_text(encoding="utf-8"))["overthinking_figure_example"]
    found = efficiency(instance())
    assert list(SIZES) == gold["first_of_cluster_tokens"]
    assert sum(one.size for one in instance()) == gold["tokens_total"]
    assert (round(found["outcome"], 4), round(found["process"], 4)) == (gold["xi_O"], gold["xi_P"])


def test_the_papers_figure_comes_out_of_a_text() -> None:
    """The same instance written out: the first of a kind has words of its own, the others have its words."""
    def part(number: int, size: int, kind: int) -> str:
        begin, end = ("Wait, " if number else "So "), "the answer is 5. "
        missing = size - (2 if number else 1) - 5
        return begin + " ".join(f"{'abcdefghijklm'[kind] * 4}{'abcdefghijklmnopqrstuvwxyz'[i % 26] * (1 + i // 26)}"
                                for i in range(missing)) + " " + end
    rest = 901 - sum(SIZES)
    repeated = [96] * 5 + [rest - 96 * 5]
    text = "".join(part(i, size, i if i < 7 else 1) for i, size in enumerate([*SIZES, *repeated]))
    found = figures(f"<think>{text}</think>5")
    assert (found["solutions"], found["distinct"], found["first_correct"]) == (13, 7, 39)
    assert round(found["outcome"], 4) == 0.0433 and round(found["process"], 4) == 0.3585


def test_a_text_is_split_where_it_starts_over_after_an_answer() -> None:
    found = figures("<think>I add 2 and 3, so that is 5. Wait, let me check: counting 3, 4, 5 gives 5.\n"
                    "Alternatively, take fingers of both hands, which makes 5 of them.</think>The answer is 5.")
    assert (found["solutions"], found["distinct"]) == (3, 3) and found["outcome"] < 0.5


def test_a_doubt_before_any_answer_starts_no_solution() -> None:
    assert figures("<think>I add 2. Wait, what is asked? Wait, the sum, so it is 5.</think>5")["solutions"] == 1


def test_the_first_right_answer_is_looked_for_and_none_gives_zero() -> None:
    late = figures(r"<think>It is \boxed{6}. Wait, no, it is \boxed{5}. Let me check that again, \boxed{5}.</think>5")
    assert (late["solutions"], late["first_correct"]) == (3, 18)
    never = figures(r"<think>It is \boxed{6}. Wait, no, it is \boxed{7}.</think>7")
    assert never["outcome"] == never["first_correct"] == 0 and never["process"] > 0


def test_the_last_box_is_the_answer_also_where_it_holds_another_ones() -> None:
    assert figures(r"<think>It is \boxed{5}, no, \boxed{15}.</think>15", reference="15")["outcome"] == 1


@pytest.mark.parametrize(("size", "solutions"), [(180, 2), (260, 1)])
def test_an_answer_longer_than_a_sentence_needs_a_mark(size: int, solutions: int) -> None:
    answer = "x" * size
    raw = f"<think>So it is {answer}. Wait, so it is {answer}.</think>\\boxed{{{answer}}}"
    assert figures(raw, reference=answer)["solutions"] == solutions


@pytest.mark.parametrize("text", ["é. Wait, so 思考 is 5. Wait, it is 5.", "It is 5. So, now, but wait, it is 5.",
                                  "= 5\nI’ll check: = 5"])
def test_a_text_in_which_bytes_are_not_characters_is_split_in_the_right_places(text: str) -> None:
    assert figures(f"<think>{text}</think>5")["solutions"] == 2


def test_words_are_not_compared_with_a_whole_number_but_spelled_numbers_are() -> None:
    assert not _right("indeed correct", "75") and _right("seventy-five", "75") and _right("five", "5")


def test_right_is_what_is_mathematically_equal() -> None:
    assert figures(r"<think>It is \boxed{\frac{1}{2}}.</think>x", reference="0.5")["outcome"] == 1


@pytest.mark.parametrize(("text", "behind"), [
    ("5. Wait, no.", ["Wait, no."]), ("It is 5.  Hmm, but wait", ["Hmm, but wait"]), ("5\nCheck it", ["Check it"]),
    ("Wait", []), ("so wait, or wait.", []), ("5? OK, so let’s re-verify", ["OK, so let’s re-verify"]),
    ("\n\nI thought. To be sure", ["To be sure"]), ("5! Using another way: 5", ["Using another way: 5"]),
    ("é. WAIT", ["WAIT"]), ("5. Waiter", []), ("5.\tWait", []),
])
def test_a_text_starts_over_at_the_beginning_of_a_sentence_or_a_line(text: str, behind: list[str]) -> None:
    assert [text[at:] for at in starts_over(text)] == behind


@pytest.mark.parametrize("thinking", ["It is 5. Wait, so 2 + 3 = 5.", "é: 5. Wait, 思考 = 5.", "**5**. Wait, is it 5…"])
def test_a_thinking_has_as_many_pieces_within_its_text_as_alone(thinking: str) -> None:
    def pieces(raw: str, inside: str) -> float:
        completion = Completion(inside, "5", raw, "stop")
        return overthinking(PROBLEM, Trace(Request(PROBLEM.id, "{}", "{}", 0), completion), of="first_correct")
    alone = pieces(thinking, thinking)
    assert alone == pieces(f"é<think>{thinking}</think>5", thinking) == pieces("another text", thinking) > 0


def test_whole_numbers_are_compared_as_math_equal_would() -> None:
    numbers = ["0", "7", "-7", "12", "1200", "70", "999999999999999"]
    assert all(_right(a, b) == (math_equal(rf"\boxed{{{a}}}", b).status == "correct") for a in numbers for b in numbers)


@pytest.mark.parametrize("raw", ["", "no answer", "5", "<think>", "<think>It is 5.</think>"])
def test_a_text_of_one_solution_or_none_is_whole(raw: str) -> None:
    assert figures(raw)["solutions"] <= 1 and figures(raw)["outcome"] in (0.0, 1.0)


@pytest.mark.parametrize("answer", ["9^{" * 40 + "9" + "}" * 40, "(" * 1500 + "x" + ")" * 1500, "x+" * 900 + "x",
                                    "1" * 1900, "(x+1)^{99999}" * 20])
def test_a_long_answer_is_compared_by_its_letters_alone(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: str) -> None:
        raise AssertionError("it was compared by mathematics")
    monkeypatch.setattr("factory.measures.overthinking.math_equal", never)
    assert figures(rf"<think>It is \boxed{{{answer}}}.</think>x", reference=answer)["outcome"] == 1
    assert figures(rf"<think>It is \boxed{{{answer}}}.</think>x", reference="y" * 101)["outcome"] == 0


@pytest.mark.parametrize("join", ["", "But ", "okay, ", "OK., ", "So, but ", "And ", "now ", "Yes, ", "Hmm, ",
                                  "so so "])
@pytest.mark.parametrize("opening", [
    "wait", "hold on", "Alternatively", "another way", "double-check", "double check", "let me just re-check",
    "let's try", "let’s verify", "I'll confirm", "I’ll solve", "i can do it", "I want to think", "we could cross-check",
    "to verify",
    "to make sure", "just checking", "verifying", "confirming", "check", "using a different",
    "maybe I"])
def test_whatever_starts_a_text_over_ends_a_solution(join: str, opening: str) -> None:
    text = rf"It is \boxed{{5}}. {join}{opening} it is \boxed{{6}}."
    assert starts_over(text) and figures(f"<think>{text}</think>5")["solutions"] == 2


@pytest.mark.parametrize("lead", LEADS)
def test_a_sentence_comes_to_an_answer_by_each_of_the_words_for_it(lead: str) -> None:
    first = figures(f"<think>Here it {lead} now 5. Wait, and nothing more.</think>\\boxed{{5}}")["first_correct"]
    assert first > 0 and not figures("<think>Here it was now 5. Wait, no.</think>\\boxed{5}")["first_correct"]


@pytest.mark.parametrize("reference", ["0", "1", "5", "-5", "6", "12", "1000", "20"])
def test_what_says_one_number_is_compared_as_math_equal_would(reference: str) -> None:
    said = ["x = 5", "x = 12", '"answer": "5"', "5.", "12 apples", "the total is 20", "20 dollars", "sqrt 25", "1e3",
            "log 1000", "1E3", "12th", "negative 5", "minus 5", "5!", "3!", "100 percent", "2 thousand", "1 dozen",
            "half of 12", "twice 6", "5 squared", "007", "05", "$20", "Ann has 6", "6 or 5", "2 3", "5;", "n=5", "f 5",
            "x5", "2 times 6"]
    assert all(_right(a, reference) == (math_equal(rf"\boxed{{{a}}}", reference).status == "correct") for a in said)
