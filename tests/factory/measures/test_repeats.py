"""Texts that say things again: pieces, repetition, loops, compression, the line that comes back."""

import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from factory.measures.compression import compression
from factory.measures.loop import loop
from factory.measures.prompt_copied import prompt_copied
from factory.measures.reflection import reflection
from factory.measures.repeated_line import repeated_line
from factory.measures.repetition import repetition
from factory.measures.verification import verification
from factory.measures.words import Spotter, _alone, grams, prepare, split
from factory.records import Completion, Problem, Request, Trace

PROBLEM = Problem("1+1?", "2")


def trace(raw: str) -> Trace:
    return Trace(Request(PROBLEM.id, "{}", "{}", 0), Completion("", raw, raw, "stop"))


def prose(words: int, seed: int = 0) -> str:
    """Text that says nothing twice."""
    chance = random.Random(seed)
    return " ".join("".join(chance.choices("abcdefghijklmnop", k=chance.randint(2, 9))) for _ in range(words))


def pieces(text: str) -> list[str]:
    words = split(text)
    return [words.folded[a:b].decode() for a, b in zip(words.starts, words.ends, strict=True)]


@pytest.mark.parametrize(("text", "expected"), [
    ("", []), (" \n", []), ("Wait, 3.5+x=y_2", ["wait", ",", "3", ".", "5", "+", "x", "=", "y", "_", "2"]),
    ("that’s “ok” — 3 ≤ 4…", ["that", "’", "s", "“", "ok", "”", "—", "3", "≤", "4", "…"]),
    ("((a))b", ["((", "a", "))", "b"]), ("a" * 18, ["a" * 16, "a", "a"]),
    ("é 思考", ["é", "思考"]), ("x", ["x"]), ("=", ["="]),
])
def test_a_text_is_split_into_runs_and_signs(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


def test_no_measure_imports_the_compiler_before_a_text_is_read() -> None:
    code = ("import sys; from factory import plugins\n"
            "for name in plugins.names('measure'): plugins.module('measure', name)"
            "\nassert 'numba' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_compiled_needs_no_folder_for_its_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    from factory.measures import _compiled

    def njit(*, cache: bool = False, **_: object) -> Callable[[object], object]:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: ("compiled", function)
    monkeypatch.setattr(_compiled.numba, "njit", njit)
    assert _compiled.compiled(len) == ("compiled", len)


def test_the_split_agrees_with_a_plain_reading_of_any_ascii() -> None:
    chance = random.Random(1)
    for _ in range(300):
        text = "".join(chance.choices("ab 1+\n,(", k=chance.randint(0, 40)))
        assert pieces(text) == re.findall(r"[ab1]{1,16}|[+,(]{1,16}", text)
        assert split(text).blank_separated == len(text.split())


def test_codes_are_equal_for_equal_pieces_and_for_no_others() -> None:
    words = list({f"{stem}{i}" for i in range(20_000) for stem in ("w", "abcdefgh", "abcdefghi")})
    codes = split(" ".join(words)).codes
    assert len(set(codes.tolist())) > len(words) - 5
    assert split("Word word WORD").codes.tolist() == [split("word").codes[0]] * 3


def test_a_gram_knows_order() -> None:
    assert grams("a b c d", 2).tolist() != grams("b a d c", 2).tolist() and len(grams("a b", 3)) == 0


def test_a_spotter_matches_at_its_anchors_only() -> None:
    spotter = Spotter("check hold", r"(?: check | hold\ on )\b")
    assert spotter.count("Check it. Hold on, hold it; unchecked, double-check") == 3


@pytest.mark.parametrize(("again", "share"), [(0, 0.0), (1, 0.5), (3, 0.75)])
def test_repetition_is_the_share_of_grams_seen_before(again: int, share: float) -> None:
    assert repetition(PROBLEM, trace(f"{prose(400)} " * (again + 1))) == pytest.approx(share, abs=0.02)


def test_repetition_sees_a_script_without_blanks() -> None:
    assert repetition(PROBLEM, trace("我们再检查一遍。" * 50)) > 0.9 and repetition(PROBLEM, trace("思考")) == 0


@pytest.mark.parametrize(("unit", "times"), [("Wait, no, it is 5. ", 20), ("water, ", 100), ("SQLite.", 60),
                                             ("思考", 90),
                                             ("\\times ", 50), ("0", 300)])
def test_a_loop_is_found_with_its_length_period_and_turns(unit: str, times: int) -> None:
    text = trace(prose(100) + "\n" + unit * times + "\nSo " + prose(100, seed=1))
    size = len(unit.encode())
    assert loop(PROBLEM, text) == pytest.approx(size * times, abs=20 + size)
    assert loop(PROBLEM, text, of="period") == pytest.approx(size, rel=0.1)
    assert loop(PROBLEM, text, of="times") == pytest.approx(times, rel=0.2)
    assert loop(PROBLEM, text, of="end") == 0


@pytest.mark.parametrize("ending", ["", "Wait, n", "\n</think>", "\n"])
def test_a_loop_that_lasts_to_the_end_is_told(ending: str) -> None:
    assert loop(PROBLEM, trace(prose(50) + " " + "Wait, no, it is 5. " * 20 + ending), of="end") > 350


@pytest.mark.parametrize("text", ["", "word", prose(500), "a b c d e f g h i j. " * 2, "So 2 + 2 = 4, and 4 + 4 = 8."])
def test_what_is_said_twice_is_no_loop(text: str) -> None:
    assert {loop(PROBLEM, trace(text), of=of) for of in ("length", "period", "times", "end")} == {0.0}


def test_compression_sees_a_loop_with_another_number_in_each_turn_and_one_at_the_end_of_a_long_text() -> None:
    counting = " ".join(f"For n = {n} this does not satisfy the equation, so we go on with the next one."
                        for n in range(99))
    long = prose(10_000) + " Wait, no, it is 5." * 200
    assert compression(PROBLEM, trace(counting)) > 5 > 2 > compression(PROBLEM, trace(prose(500)))
    assert compression(PROBLEM, trace(long)) > 10 > compression(PROBLEM, trace(long), end=0)
    assert compression(PROBLEM, trace("")) == 0


def test_repeated_line_is_the_share_of_the_most_frequent_line() -> None:
    others = [f"{prose(5, seed=i)} and more" for i in range(18)] + ["\\["] * 50
    text = "\n".join(["We try the next number now."] * 6 + others)
    assert repeated_line(PROBLEM, trace(text)) == 0.25
    assert repeated_line(PROBLEM, trace(text), times=7) == 0 and repeated_line(PROBLEM, trace(text), characters=30) == 0


@pytest.mark.parametrize("measure", [repetition, compression])
def test_a_parameter_that_means_nothing_is_refused(measure: object) -> None:
    with pytest.raises(ValueError, match="needs"):
        repetition(PROBLEM, trace("a"), n=0) if measure is repetition else compression(PROBLEM, trace("a"), end=-1)


MIXED = ["", "plug it back in", "One “two” three", "a\nb " * 30, "Wait, let me check. " * 9, "好" * 40, "x" * 50,
         "plug"]


@pytest.mark.parametrize("measure", [loop, repetition, prompt_copied, reflection, verification])
def test_a_text_that_was_read_with_others_gives_what_it_gives_alone(measure: Callable[..., float]) -> None:
    problem = replace(PROBLEM, prompt="so plug it back in and let me check. Wait, let me check.")
    alone = [measure(problem, trace(text)) for text in MIXED]
    prepare([*MIXED, problem.prompt])
    split.cache_clear()
    _alone.cache_clear()
    assert [measure(problem, trace(text)) for text in MIXED] == alone
    prepare([])


def test_codes_and_grams_do_not_reach_into_the_next_text() -> None:
    alone = [(split(text).codes.tolist(), grams(text, 3).tolist(), split(text).blank_separated) for text in MIXED]
    prepare(MIXED[::-1])
    split.cache_clear()
    _alone.cache_clear()
    assert [(split(text).codes.tolist(), grams(text, 3).tolist(), split(text).blank_separated)
            for text in MIXED] == alone
    prepare([])
