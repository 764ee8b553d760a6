"""Where the final answer of a response is found, and when there is none."""

import pytest

from verifiers.answers import boxes, final_answer, without_thinking


def found(response: str) -> str | None:
    answer = final_answer(response)
    return answer.text if answer else None


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (r"So \boxed{5}.", "5"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\left\{ 1, 2 \right\}}", r"\left\{ 1, 2 \right\}"),
        (r"\boxed{\{}", r"\{"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\fbox{7}", "7"),
        (r"\boxed 5", "5"),
        (r"an open { brace, then \boxed{3}", "3"),
    ],
)
def test_a_box_is_matched_by_its_braces(response: str, text: str) -> None:
    assert found(response) == text


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ("The answer is 12.", "12"),
        ("The answer is $x = 3$, as wanted.", "x = 3"),
        ("Answer: 3.5", "3.5"),
        ("**Answer:** 7", "7"),
        ("## Final Answer\n\n42", "42"),
        ("we get 240.\n#### 240", "240"),
        ("The answer is 5. I was wrong.\nThe answer is 6.", "6"),
        ("Final answer: \\[\n\\frac{1}{2}\n\\]", r"\frac{1}{2}"),
        ("There are **58** of them", "58"),
        ("We add.\nSo $a + b = 4$ and $c = 9$.", "c = 9"),
        ("Hence\n\\[\n x^2 + 1\n\\]", "x^2 + 1"),
        ("1/2", "1/2"),
        ('```json\n{"reasoning": "so", "answer": "15"}\n```', "15"),
        ('{"final_answer": "\\\\frac{1}{2}"}', r"\frac{1}{2}"),
        ("**Total cost for two years**\nIt comes to 84 euros.", "It comes to 84 euros."),
        ("<ANSWER>1</ANSWER>", "1"),
        ("所以答案是：12", "12"),
    ],
)
def test_without_a_box_the_last_marker_speaks(response: str, text: str) -> None:
    assert found(response) == text


def test_a_box_comes_before_a_later_phrase() -> None:
    assert found(r"\boxed{4}. The answer is above.") == "4"


def test_the_last_of_several_different_boxes_wins_and_is_noted() -> None:
    answer = final_answer(r"First \boxed{6}. No, \boxed{5}.")
    assert answer is not None
    assert answer.text == "5"
    assert "2 different boxes" in answer.note


def test_the_same_box_twice_is_not_noted() -> None:
    answer = final_answer(r"\boxed{x + 1}, that is \boxed{x+1}")
    assert answer is not None
    assert answer.note == ""


def test_boxes_in_one_list_are_one_answer() -> None:
    assert found(r"$\boxed{1}$, $\boxed{2}$ and $\boxed{3}$") == "1, 2, 3"


@pytest.mark.parametrize(
    "response",
    [
        "",
        " \n\t",
        "<think>it is \\boxed{5}</think>",
        "<think>it is \\boxed{5}",
        "It is \\boxed{5}. <think>wait",
        "it is \\boxed{5}</think>",
        r"So the result is \boxed{\frac{1}{2",
    ],
)
def test_thinking_silence_and_a_cut_box_are_no_answer(response: str) -> None:
    assert final_answer(response) is None


@pytest.mark.parametrize(
    ("response", "left"),
    [
        ("<think>a</think>b", "b"),
        ("a</think>b", "b"),
        ("a<think>b</think>c<think>d</think>e", "ace"),
        ("<think>a<think>b</think>c</think>d", "d"),
    ],
)
def test_thinking_is_cut_out(response: str, left: str) -> None:
    assert without_thinking(response) == left


@pytest.mark.parametrize(
    "piece", ["{", r"\boxed{", "<think>", "$", r"\[", "\n", "**", "#### ", "answer: ", "answer "]
)
def test_a_very_long_response_is_read_in_one_pass(piece: str) -> None:
    """Quadratic searches would take hours here; that it comes back at all is the property."""
    final_answer(piece * 200_000)


def test_boxes_come_in_order() -> None:
    assert boxes(r"\boxed{1} \boxed{\text{a} \boxed{2}} \boxed{3}") == [
        "1",
        "2",
        "3",
    ]


@pytest.mark.parametrize(("text", "found"), [
    (r"\\boxed{1}", []), (r"\\\boxed{1}", ["1"]), (r"\boxed{1 and \boxed{2}", ["2"]), (r"\boxed{1\}", []),
    (r"\boxed{\{1\}} } { \fbox {2}", [r"\{1\}", "2"]), (r"a \} \boxed{\text{x}y}", [r"\text{x}y"]),
    (r"{\boxed{1}", ["1"]), (r"\boxed{a\boxed{2}b}", [r"a\boxed{2}b"]),
])
def test_boxes_are_those_that_close_and_no_new_line_begins(text: str, found: list[str]) -> None:
    assert boxes(text) == found


@pytest.mark.parametrize("tag", ["<THINK>", "[ thinking ]", "◁think▷", "< thought >", "<reaſoning>", "<thİnk>",
                                 "<\nthink>"])
def test_a_tag_is_found_however_it_is_written(tag: str) -> None:
    assert without_thinking(f"I think 1.{tag}2{tag[0]}/{tag[1:]}3") == "I think 1.3"
