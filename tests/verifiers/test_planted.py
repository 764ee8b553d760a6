"""Planted answers: their truth is by construction, the shipped verifiers see it, and nothing is planted in doubt."""

import random
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from verifiers.lookup import load
from verifiers.planted import MAKERS, Kind, plant

SEEDS = range(60)
STATUS: dict[Kind, str] = {"right": "correct", "wrong": "wrong"}

CERTAIN = [("math_equal", text) for text in (
    "42", "-7", "0", "10", "12345", "0.5", "-3.25", "123456.78", r"\frac{3}{4}", "-7/3", "$8$", "B", "(C)", "yes",
    r"\{1, 2, 3\}", "(2, 5)", "[1,4)", r"2\sqrt{3}", "x^2+1", "(x+1)^2", r"\frac{\pi}{2}")]
CERTAIN += [("exact_match", text) for text in ("42", "Paris", "B", "3/4")]
CERTAIN += [("multiple_choice", text) for text in ("B", "(D)", "A, C")]


def responses(verifier: str, reference: str, kind: Kind) -> dict[str, str]:
    """response -> how it was made, over many seeds."""
    made = [plant(verifier, reference, kind, random.Random(seed)) for seed in SEEDS]
    return {item[1]: item[0] for item in made if item}


@pytest.mark.parametrize("kind", STATUS)
@pytest.mark.parametrize(("verifier", "reference"), CERTAIN)
def test_a_verifier_sees_what_was_planted(verifier: str, reference: str, kind: Kind) -> None:
    found = responses(verifier, reference, kind)
    assert len(found) >= 4
    judged = {response: load(verifier)(response, reference).status for response in found}
    assert set(judged.values()) == {STATUS[kind]}, judged


def test_the_answers_are_written_in_many_ways_and_places() -> None:
    found = responses("math_equal", "0.5", "right")
    assert set(found.values()) == {"as a fraction", "as a decimal", "with \\dfrac", "with a slash", "with spaces"}
    assert any("####" in response for response in found)
    assert any("One might think" in response for response in found)


@pytest.mark.parametrize("reference", ["17", "-120", "2.75", "99.99", "5/8", r"-\frac{7}{9}", "10"])
def test_a_wrong_number_is_another_number_and_no_rounding(reference: str) -> None:
    from verifiers.planted import _numbers, _value

    value = _value(reference)
    assert value is not None
    right, wrong = _numbers(reference, value)
    assert {_value(text.strip().replace(",", "")) for text in right.values()} == {value}
    others = [_value(text) for text in wrong.values()]
    assert value not in others
    assert None not in others
    if "." in reference:
        assert all(abs(other - value) > abs(value) / 100 for other in others if isinstance(other, Fraction))


@pytest.mark.parametrize(("verifier", "reference"), [
    ("math_equal", "5 cm"), ("math_equal", "Paris"), ("math_equal", "x = 5"), ("math_equal", "1, 2"),
    ("math_equal", r"x^2 + C"), ("math_equal", r"2\pi k"), ("math_equal", "50\\%"), ("math_equal", r"\infty"),
    ("math_equal", r"\pm 3"), ("math_equal", "(5, 2)"), ("math_equal", ""), ("exact_match", "x y"),
    ("multiple_choice", "Paris"), ("multiple_choice", "A, A"),
])
def test_nothing_wrong_is_planted_where_it_is_not_certain(verifier: str, reference: str) -> None:
    assert responses(verifier, reference, "wrong") == {}


@pytest.mark.parametrize("reference", ["> }", "} {", r"\frac{1", r"\boxed{5}"])
def test_what_fits_no_box_is_left_alone(reference: str) -> None:
    assert responses("exact_match", reference, "right") == responses("math_equal", reference, "wrong") == {}


def test_a_private_verifier_may_bring_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "planting.py").write_text('''
from verifiers.verdict import Verdict
VERSION = 1
def planting(response, reference): return Verdict("correct")
def planted(reference, rng): return [("right", reference), ("wrong", reference + "!")]
''')
    (tmp_path / "plain.py").write_text("VERSION = 1\ndef plain(response, reference): ...\n")
    (tmp_path / "lab_planted").mkdir()
    for name in ("planting", "plain"):
        (tmp_path / f"{name}.py").rename(tmp_path / "lab_planted" / f"{name}.py")
    assert plant("lab_planted.planting", "5", "wrong", random.Random(0)) == ("lab_planted.planting.planted", "5!")
    assert plant("lab_planted.plain", "5", "right", random.Random(0)) is None
    for module in [m for m in sys.modules if m.startswith("lab_planted")]:
        del sys.modules[module]


def test_every_maker_is_a_verifier() -> None:
    assert all(load(name) for name in MAKERS)
