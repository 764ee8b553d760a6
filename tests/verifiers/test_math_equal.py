"""Mathematical equality of final answers: right, wrong, and above all when it cannot tell."""

import subprocess
import sys
from typing import Any

import pytest

from verifiers import math_equal as module
from verifiers.math_equal import math_equal


def status(answer: str, reference: str) -> str:
    return math_equal(rf"So it is $\boxed{{{answer}}}$.", reference).status


NUMBERS = [
    ("0.5", r"\frac{1}{2}"),
    (".5", "0.5"),
    ("1/2", r"\dfrac12"),
    ("10,000", "10{,}000"),
    (r"1\frac{1}{10}", "1.1"),
    ("-3/4", r"-\frac{3}{4}"),
    (r"\frac{-3}{4}", "-0.75"),
    (r"3 \times 10^{5}", "300000"),
    ("0007", "7"),
    ("-0.0", "0"),
    (r"\$18.00", "18"),
    (r"0.\overline{3}", r"\frac13"),
    ("x = 5", "5"),
    (r"90^\circ", "90"),
    (r"10\text{ units}", "10"),
    ("40\\%", "40%"),
    ("\N{MINUS SIGN}7", "-7"),
]
EXPRESSIONS = [
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}"),
    ("(x+1)^2", "x^2 + 2x + 1"),
    (r"x^{4} + y^2", "y^2 + x^4"),
    (r"\{3, 1, 2\}", r"\{1, 2, 3\}"),
    (r"x \in [46, \infty)", r"[46,\infty)"),
    (r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
    (r"\sin 30^\circ", r"\frac12"),
    ("sqrt(3) - 1", r"-1+\sqrt{3}"),
]
TEXTS = [(r"\text{Sunday}", "sunday"), (r"\textbf{(B)}", "B"), ("(C)", "C"), ("25_{6}", "25_6")]


@pytest.mark.parametrize(("answer", "reference"), NUMBERS + EXPRESSIONS + TEXTS)
def test_equal_answers_are_correct(answer: str, reference: str) -> None:
    assert status(answer, reference) == "correct"


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("0.33", r"\frac13"),
        ("0.000001", "0.000002"),
        ("1000.99", "1000"),
        ("-5", "5"),
        ("5!", "5"),
        ("5i", "5"),
        ("5, 6", "5"),
        ("1200_8", "1200_7"),
        ("3:31", "3:30"),
        ("[0,9)", "(0,9)"),
        (r"\text{Monday}", r"\text{Friday}"),
        ("(A)", "B"),
        (r"\sqrt{3}-4", r"4-\sqrt{3}"),
        (r"\begin{vmatrix}1&2\\3&4\end{vmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
    ],
)
def test_different_answers_are_wrong(answer: str, reference: str) -> None:
    assert status(answer, reference) == "wrong"


BOMBS = ["9^{9^{9^9}}", "9**9**9", "2^{99999999}", "100000!", "9!!!!", "(" * 500 + "1" + ")" * 500]


@pytest.mark.parametrize("bomb", [*BOMBS, "1" * 5_000, "2^{99999}\\pi", "x+" * 2_000 + "x"])
def test_bombs_are_refused_undecided(bomb: str) -> None:
    assert status(bomb, r"\sqrt{2}") == "undecided"


@pytest.mark.parametrize("huge", ["1e999999999", r"10 \times 10^{999999999}"])
def test_a_huge_exponent_is_never_worked_out(huge: str) -> None:
    assert status(huge, "5") != "correct"


@pytest.mark.parametrize(
    "response",
    ["", "<think>\\boxed{5}</think>", "<think>\\boxed{5}", r"\boxed{", r"\boxed{}", "$$"],
)
def test_no_answer_is_undecided_never_wrong(response: str) -> None:
    verdict = math_equal(response, "5")
    assert (verdict.status, verdict.reason) == ("undecided", "no final answer found")


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        (r"\frac{1}{", r"\sqrt{2}"),
        ("it is as large as before", "7"),
        (r"\sqrt{2}", r"\undefined{\frac{"),
        ("5", ""),
        ("5", "see the proof above"),
        (r"5 \text{ apples}", r"5 \text{ pears}"),
    ],
)
def test_what_cannot_be_read_is_undecided(answer: str, reference: str) -> None:
    verdict = math_equal(rf"\boxed{{{answer}}}", reference)
    assert verdict.status == "undecided"
    assert verdict.reason


def test_running_out_of_memory_is_left_to_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(mine: object, theirs: object) -> Any:
        raise MemoryError

    monkeypatch.setattr(module, "same", full)
    with pytest.raises(MemoryError):
        math_equal(r"\boxed{x+1}", "x+2")


@pytest.mark.parametrize(
    "attack",
    [
        "__import__('os').system('touch pwned')",
        "exec('open(chr(112),chr(119))')",
        "(lambda: print(1))()",
        "[x for x in [open('pwned','w')]]",
    ],
)
def test_code_in_an_answer_is_never_run(attack: str, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sympy.parsing.sympy_parser.parse_expr", lambda *_, **__: 1 / 0)
    assert status(attack, "5") != "correct"
    assert math_equal(attack, "5").status != "correct"
    assert list(tmp_path.iterdir()) == []


def test_the_choice_between_boxes_is_in_the_reason() -> None:
    verdict = math_equal(r"\boxed{4}. No: \boxed{5}.", "5")
    assert verdict.status == "correct"
    assert "2 different boxes" in verdict.reason


def test_plain_numbers_never_reach_the_grammar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read", lambda *_: 1 / 0)
    for answer, reference in NUMBERS:
        assert status(answer, reference) == "correct"
    assert status("12", "13") == "wrong"


def test_importing_it_does_not_import_sympy() -> None:
    code = "import sys, verifiers.math_equal; sys.exit('sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_constant_of_integration_is_no_choice() -> None:
    assert status("6*X**2 + C", "-4*X**5/7 + 6*X**2 + C") == "wrong"
    assert status("for sure D, it can't be A or B", "D") == "correct"
    assert status("A", "C") == "wrong"


def test_a_reference_or_an_answer_of_many_megabytes_is_refused_at_once() -> None:
    verdict = math_equal("5", "x " * 10_000_000)
    assert verdict.status == "undecided"
    verdict = math_equal("the answer is " + "x " * 5_000_000, "5")
    assert verdict.status == "undecided"
    assert len(verdict.answer or "") <= 2_000
