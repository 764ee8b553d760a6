"""Thinking and response are told apart whatever the endpoint sends; in doubt text is thinking."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from factory.thoughts import fields, join, split

SHARED = Path(__file__).parents[3] / "shared" / "data" / "traces"

THINK = [
    ("no tags", "The answer is 4.", "", "The answer is 4."),
    ("nothing", "", "", ""),
    ("the usual", "<think>\n2+2=4\n</think>\n\nThe answer is 4.", "2+2=4", "The answer is 4."),
    ("only the end: the template opened it", "2+2=4\n</think>\nThe answer is 4.", "2+2=4", "The answer is 4."),
    ("cut off while thinking", "<think>\n2+2=\\boxed{5}", "2+2=\\boxed{5}", ""),
    ("cut off at once", "<think>", "", ""),
    ("empty thought", "<think>\n\n</think>\n\nThe answer is 4.", "", "The answer is 4."),
    ("empty thought and nothing else", "<think></think>", "", ""),
    ("no response", "<think>2+2=4</think>", "2+2=4", ""),
    ("nested", "<think>a<think>b</think>c</think>d", "a<think>b</think>c", "d"),
    ("nested and closed once", "<think>a<think>b</think>c", "a<think>b", "c"),
    ("two thoughts", "<think>a</think>b<think>c</think>d", "a</think>b<think>c", "d"),
    ("opened again and cut off", "<think>a</think>b<think>c", "a</think>b<think>c", ""),
    ("closed again", "<think>a</think>b</think>c", "a</think>b", "c"),
    ("words before the thought", "Sure.\n<think>a</think>b", "a", "Sure.\nb"),
    ("words before the thought, in its line", "so 61<think>a</think>b", "so 61<think>a", "b"),
    ("words before a thought that is cut off", "Sure.\n<think>a", "Sure.\n<think>a", ""),
    ("an end, then a whole thought", "a</think>b<think>c</think>d", "a</think>b<think>c", "d"),
    ("glued to the text", "<think>So it is 4.</think>The answer", "So it is 4.", "The answer"),
    ("other brackets stay", "1 < 2 and <b>2</b>", "", "1 < 2 and <b>2</b>"),
    ("upper case", "<THINK>a</Think>b", "a", "b"),
    ("a space in the tag", "<think >a</think >b", "a", "b"),
    ("cut off in the tag that ends it", "<think>\n2+2=4.\n</thi", "2+2=4.", ""),
    ("cut off in the tag, which the template opened", "2+2=4.\n</thin", "2+2=4.", ""),
    ("a table's tag is not one", "<table><tr><th>x</th", "", "<table><tr><th>x</th"),
    ("cut off in the tag that opens it", "<thi", "", ""),
    ("cut off at a comparison", "<think>so 3 <", "so 3 <", ""),
]

RELATIVES = [
    ("thinking", "<thinking>a</thinking>b", "a", "b"),
    ("thought, as Marco-o1", "<Thought>\na\n</Thought>\n<Output>\nb\n</Output>", "a", "b"),
    ("thought, cut off in the output", "<Thought>\na\n</Thought>\n<Output>\nb", "a", "b"),
    ("thought, cut off", "<Thought>\na", "a", ""),
    ("reasoning", "<reasoning>a</reasoning>\n<answer>4</answer>", "a", "<answer>4</answer>"),
    ("an answer's own tags stay", "<think>a</think><answer>4</answer>", "a", "<answer>4</answer>"),
    ("begin_of_thought", "<|begin_of_thought|>\na\n<|end_of_thought|>\n\n<|begin_of_solution|>\nb\n<|end_of_solution|>",
     "a", "b"),
    ("begin_of_thought, cut off", "<|begin_of_thought|>\na", "a", ""),
    ("begin_of_thought, cut off in the tag", "<|begin_of_thought|>\na\n<|end_of_th", "a", ""),
    ("begin_of_thought, solution cut off", "<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>b", "a", "b"),
    ("begin_of_solution alone", "<|begin_of_solution|>b<|end_of_solution|>", "", "b"),
    ("Magistral", "[THINK]a[/THINK]b", "a", "b"),
    ("Kimi", "◁think▷a◁/think▷b", "a", "b"),
    ("Seed-OSS", "<seed:think>a</seed:think>b", "a", "b"),
    ("the first name counts", "<think>the <thinking> tag</think>b", "the <thinking> tag", "b"),
]

TALK = [
    ("quoted in the response", '<think>a</think>Use s.split("</think>") here.', "a", 'Use s.split("</think>") here.'),
    ("in backticks", "<think>a</think>Write `<think>` first.", "a", "Write `<think>` first."),
    ("in single quotes", "<think>a</think>It is '</think>' that ends it.", "a", "It is '</think>' that ends it."),
    ("quoted in the thought", '<think>s.split("</think>") it is.\n</think>\nDone.', 's.split("</think>") it is.',
     "Done."),
    ("in a fence", "<think>a</think>\n```python\nx = s.rfind('<think>') + 1\n```\nDone.", "a",
     "```python\nx = s.rfind('<think>') + 1\n```\nDone."),
    ("a pair in a fence", "<think>a</think>\n```\n<think>\nb\n</think>\n```", "a", "```\n<think>\nb\n</think>\n```"),
    ("a fence that the thought left open", "<think>\n```python\nx = 1\n</think>\nSo:\n```\n1\n```", "```python\nx = 1",
     "So:\n```\n1\n```"),
    ("a fence that is closed by the response's", "<think>\n```\nx\n</think>\n```\n1\n```", "```\nx", "```\n1\n```"),
    ("only talked about", "The tag `<think>` opens a thought.", "", "The tag `<think>` opens a thought."),
    ("only talked about, template opened, cut off", 'It says "</think>" and', "", 'It says "</think>" and'),
    ("a quote that does not end", 'He said "4</think>4', 'He said "4', "4"),
    ("plain words are not code", "<think>a</think>The <think> tag", "a</think>The <think> tag", ""),
]

FORMS = [
    ("channels", "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>",
     "a", "b"),
    ("channels, cut off", "<|channel|>analysis<|message|>a", "a", ""),
    ("channels, a tool between", "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary to=f "
     "<|constrain|>json<|message|>{}<|call|><|start|>assistant<|channel|>final<|message|>b", "a\n{}", "b"),
    ("channels, two analyses", "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>analysis<|message|>"
     "c<|end|><|start|>assistant<|channel|>final<|message|>b", "a\nc", "b"),
    ("channels, special tokens skipped", "analysisWe add 2 and 2.assistantfinalIt is 4.", "We add 2 and 2.",
     "It is 4."),
    ("channels, special tokens skipped, cut off", "analysisWe add", "We add", ""),
    ("an analysis that is a word", "analysis of the sum gives 4", "", "analysis of the sum gives 4"),
    ("s1", "think\n2+2=4\nanswer\nAnswer: 4", "2+2=4", "Answer: 4"),
    ("s1, cut off", "think\n2+2", "2+2", ""),
    ("s1, special tokens kept", "<|im_start|>think\n2+2<|im_start|>answer\n4", "2+2", "4"),
    ("s1, a line of the thought", "think\nthe\nanswer\nis 4\nanswer\n4", "the\nanswer\nis 4", "4"),
    ("think is a word", "think of 4", "", "think of 4"),
    ("g1", '{"title": "T", "content": "a", "next_action": "continue"}\n'
     '{"title": "F", "content": "b", "next_action": "final_answer"}', "T\na", "b"),
    ("g1, a list in a fence", '```json\n[{"title": "", "content": "a", "next_action": "continue"},\n'
     ' {"content": "b", "next_action": "final_answer"}]\n```', "a", "b"),
    ("g1, a plain answer at last", '{"title": "T", "content": "a", "next_action": "continue"}\nIt is b.', "T\na",
     "It is b."),
    ("g1, no last step", '{"title": "T", "content": "a", "next_action": "continue"}', "T\na", ""),
    ("g1, cut off", '{"content": "a", "next_action": "continue"}{"content": "b\\n', 'a\n\n{"content": "b\\n', ""),
    ("JSON of another kind", '{"reasoning": "2+2", "answer": "4"}', "", '{"reasoning": "2+2", "answer": "4"}'),
    ("JSON that talks of g1", '{"next_action": 1}', "", '{"next_action": 1}'),
]


def table(rows: list[tuple[str, str, str, str]]) -> Any:
    return pytest.mark.parametrize(("text", "thinking", "response"), [row[1:] for row in rows],
                                   ids=[row[0] for row in rows])


@table(THINK)
def test_tags(text: str, thinking: str, response: str) -> None:
    assert split(text) == (thinking, response)


@table(RELATIVES)
def test_relatives_of_the_tag(text: str, thinking: str, response: str) -> None:
    assert split(text) == (thinking, response)


@table(TALK)
def test_a_tag_that_is_talked_about_is_text(text: str, thinking: str, response: str) -> None:
    assert split(text) == (thinking, response)


@table(FORMS)
def test_forms_without_tags(text: str, thinking: str, response: str) -> None:
    assert split(text) == (thinking, response)


@pytest.mark.parametrize(("text", "expected"), [
    ("2+2=\\boxed{4}", ("2+2=\\boxed{4}", "")),
    ("2+2\n</think>\n4", ("2+2", "4")),
    ("<think>2+2</think>4", ("2+2", "4")),
    ("Well.\n<think>2+2</think>4", ("Well.\n<think>2+2", "4")),
    ("", ("", "")),
])
def test_where_the_prompt_opened_the_thought_a_text_without_tags_is_one(text: str, expected: tuple[str, str]) -> None:
    assert split(text, opened=True) == expected


@pytest.mark.parametrize(("text", "reasoning", "expected"), [
    ("The answer is 4.", "2+2=4\n", ("2+2=4", "The answer is 4.")),
    ("<think>x</think>4", "2+2=4", ("2+2=4", "<think>x</think>4")),
    ("", "2+2", ("2+2", "")),
    ("<think>a</think>b", "", ("a", "b")),
    ("<think>a</think>b", None, ("a", "b")),
])
def test_a_field_of_its_own_wins_when_it_holds_something(
        text: str, reasoning: str | None, expected: tuple[str, str]) -> None:
    assert split(text, reasoning) == expected


@pytest.mark.parametrize(("message", "expected"), [
    ({"content": "4"}, ("4", "")),
    ({"content": None}, ("", "")),
    ({}, ("", "")),
    ({"content": "4", "reasoning_content": "2+2"}, ("4", "2+2")),
    ({"content": "4", "reasoning": "2+2", "reasoning_content": None}, ("4", "2+2")),
    ({"content": None, "reasoning": "2+2"}, ("", "2+2")),
    ({"content": "4", "thinking": "2+2"}, ("4", "2+2")),
    ({"content": "4", "reasoning": "2+2", "reasoning_details": [{"type": "reasoning.text", "text": "2+2"}]},
     ("4", "2+2")),
    ({"content": "4", "reasoning_details": [{"type": "reasoning.summary", "summary": "we "},
                                            {"type": "reasoning.text", "text": "add"},
                                            {"type": "reasoning.encrypted", "data": "Zm9v"}]}, ("4", "we add")),
    ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "2+2"}]}, {"type": "text", "text": "4"}]},
     ("4", "2+2")),
    ({"content": [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]}, ("42", "")),
    ({"content": "4", "reasoning": 3, "reasoning_details": {"a": []}}, ("4", "")),
], ids=range(12))
def test_every_field_that_an_endpoint_may_use(message: dict[str, Any], expected: tuple[str, str]) -> None:
    assert fields(message) == expected


def test_joined_fields_split_into_the_same_parts() -> None:
    assert split(join("2+2=4", "The answer is 4.", closed=True)) == ("2+2=4", "The answer is 4.")
    assert split(join("2+2", "", closed=False)) == ("2+2", "")


LONG = 200_000


@pytest.mark.parametrize("piece", [
    "<think>", "</think>", "<think>x", '"</think>"', "`<think>`", "```\n", "```\n<think>\n```\n", "\n</think>\n", "<",
    "analysis", "\nanswer\n", "<|channel|>final<|message|>", '{"next_action": 1, "content": 2}', "[", '"', "</thi",
    "<|begin_of_thought|>", "[THINK]", "~~~\n", "x ", "\n", "<|channel|>", "◁think▷", '{"next_action',
])
def test_a_long_text_of_anything_is_read(piece: str) -> None:
    """In a fraction of a second: what grew with the square of the length would take minutes here."""
    for head in ("", "<think>", "think\n"):
        text = head + piece * (LONG // len(piece))
        thinking, response = split(text)
        assert len(thinking) + len(response) <= len(text)


# -- real traces -----------------------------------------------------------------------------------------------------


def traces() -> Iterator[dict[str, Any]]:
    for file in sorted(SHARED.glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared traces are not here")
def test_every_real_trace_is_split_as_its_style_says() -> None:
    seen: Counter[str] = Counter()
    wrong = [(row["id"], row["meta"]["tag_style"]) for row in traces()
             if seen.update([row["meta"]["tag_style"]]) or not fits(row)]
    assert wrong == []
    assert min(seen[style] for style in ("none", "composed <think>", "close-only", "s1-think-answer", "<think>",
                                         "<Thought>/<Output>", "think tags")) > 0
    assert sum(seen.values()) > 10_000


def fits(row: dict[str, Any]) -> bool:
    """Where the thinking of a real trace ends, told by its style and not by our reader."""
    text, style = row["trace"], row["meta"]["tag_style"]
    thinking, response = split(text)
    if style == "s1-think-answer":
        before, after = text.removeprefix("think\n").split("\nanswer\n")
    elif style == "<Thought>/<Output>":
        before, after = text.removeprefix("<Thought>").split("</Thought>")
        after = after.strip().removeprefix("<Output>").removesuffix("</Output>")
    elif text.rfind("<think>") > text.rfind("</think>"):
        before, after = text.removeprefix("<think>"), ""
    else:
        before, _, after = text.rpartition("</think>")
        before = before.removeprefix("<think>")
    return (thinking, response) == (before.strip(), after.strip())
