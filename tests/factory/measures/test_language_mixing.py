"""Language mixing: what is foreign to the prompt's script, and all that only looks so."""

import pytest

from factory.measures.language_mixing import language_mixing
from factory.records import Completion, Problem, Request, Trace

ENGLISH, CHINESE, JAPANESE = (Problem(prompt, "2") for prompt in (
    "What is 1 + 1?", "一加一等于多少？", "1たす1はいくつですか。"))


def trace(raw: str) -> Trace:
    return Trace(Request(ENGLISH.id, "{}", "{}", 0), Completion("", raw, raw, "stop"))


@pytest.mark.parametrize(("raw", "letters"), [
    ("So we get 然后 two.", 2), ("Значит, 2.", 6), ("then ผลิต and また", 5), ("한국 then", 2), ("思考Привет", 8),
])
def test_letters_of_another_script_count(raw: str, letters: int) -> None:
    assert language_mixing(ENGLISH, trace(raw), of="letters") == letters
    assert language_mixing(ENGLISH, trace(raw)) == pytest.approx(letters / sum(map(str.isalpha, raw)))


@pytest.mark.parametrize("raw", [
    "", "So it is 2.", "α + β ≤ π, Σ over ℝ, ℵ₀, 𝑥² and 𝔽₂ → ∞", "naïve Möbius, Erdős and Łoś",
    "Zhang Wei and Xiǎomíng meet",
    "It’s “2” — done…", "🟦🟥 ✅ 2", "```python\nprint('x')\n```", "ﬁne ５ × ３ ① ½", "ʻOkina", "ＡＢＣ",
])
def test_mathematics_names_accents_code_and_emojis_are_at_home(raw: str) -> None:
    assert language_mixing(ENGLISH, trace(raw)) == 0


@pytest.mark.parametrize("raw", [
    "答案是 2。", r"设 $x = \frac{1}{2}$，则 \(x + y = \text{an even number that is large enough to see here}\)。",
    "张伟 (Zhang Wei) 用 Python 的 sorted 函数。",
    "```\nfor each of the numbers that we have got here\n```\n所以是二。", "用 sin x 和 cos y。",
])
def test_a_chinese_trace_of_a_chinese_prompt_may_hold_formulas_names_and_code(raw: str) -> None:
    assert language_mixing(CHINESE, trace(raw)) == 0


def test_english_prose_in_a_chinese_trace_is_mixing() -> None:
    assert language_mixing(CHINESE, trace("我们来看。Okay, so we have to add the two numbers here. 所以是二。")) > 0.5


def test_the_scripts_of_japanese_belong_together() -> None:
    assert language_mixing(JAPANESE, trace("計算すると、答えは二です。カタカナ")) == 0
    assert language_mixing(JAPANESE, trace("そうです Привет")) > 0


def test_east_asian_letters_alone_can_be_counted() -> None:
    text = trace("思考 then Привет and 한국")
    assert language_mixing(ENGLISH, text, of="letters", scripts="east_asian") == 4
    assert language_mixing(ENGLISH, text, of="letters") == 10
