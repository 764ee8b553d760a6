"""Kinds of answers: which order counts, what a name or a unit changes, and what stays different."""

import pytest

from verifiers.compare import same
from verifiers.grammar import read
from verifiers.normal_form import tidy

SAME = [
    ("1, 2", "2, 1"),
    (r"\{1,2\}", "2, 1"),
    (r"\{1,1,2\}", r"\{1,2\}"),
    ("(1,2)", "1, 2"),
    ("[37]", "37"),
    ("x = 5", "5"),
    ("5 = x", "5"),
    ("f(x) = x^2", "x^2"),
    ("10^3 = 1000", "1000"),
    ("|AB| = 1", "1"),
    ("(x,y) = (5,8)", "(5,8)"),
    ("x=1, y=2", "1, 2"),
    (r"1\pm\sqrt{5}", r"1+\sqrt5, 1-\sqrt5"),
    ("2x - 4y = 6", "x - 2y - 3 = 0"),
    ("y = 1/x", "xy = 1"),
    ("x > 2", r"(2, \infty)"),
    ("2 < x", "x > 2"),
    (r"-2 \le x \le 7", r"x \in [-2, 7]"),
    (r"x \le 3 and x > 1", r"1 < x \le 3"),
    (r"\{x \mid x \ge 1\}", r"[1, \infty)"),
    (r"(1,2)\cup(3,4)", r"(3,4)\cup(1,2)"),
    (r"\mathbb{R}", r"(-\infty, \infty)"),
    ("[[1,2],[3,4]]", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
    (r"\frac{\sqrt3}{3} \approx 0.577", r"\frac{\sqrt3}{3}"),
    ("5 apples", "5"),
    ("40%", "0.4"),
    ("011_2", "11_2"),
    ("3:1", "3"),
    ("x^2 + C", "x^2 + 5 + C"),
    ("-2x < 4", "x > -2"),
    (r"\{1\} \cup \{2\}", r"\{2, 1\}"),
]
SAME += [
    (r"x < 1 or x > 3", r"(-\infty, 1) \cup (3, \infty)"),
    (r"\langle 1, 2 \rangle", "(1, 2)"),
    ("x=1 or x=2", "x=1, x=2"),
    (r"a\begin{matrix}1\\3\end{matrix} - \begin{matrix}-1\\2\end{matrix}", r"\begin{pmatrix}a+1\\3a-2\end{pmatrix}"),
    (r"\sum_{k=1}^{10} k", "55"),
    (r"\sum_{i=1}^{10} i", "55"),
    (r"\prod_{k=1}^{4} k", "24"),
    ("f(x, y)", "f(x,y)"),
    (r"{10 \choose 3}", "120"),
    (r"f^{-1}(x) = \frac{x-1}{2}", r"\frac{x-1}{2}"),
    (r"\lim_{x \to 3} a", r"\lim_{x\rightarrow 3}{a}"),
    (r"\begin{cases} x=1\\ y=2\end{cases}", "x=1, y=2"),
    (r"\operatorname{arsinh}(a)", r"\sinh^{-1}(a)"),
    (r"\{x|-2\leq x<1\}", "[-2,1)"),
]
DIFFERENT = [
    ("x > 2 and x < 5", "x > 2 or x < 5"),
    (r"0 \le x \le 1", r"\{0, 1\}"),
    ("[1, 2)", "1, 2"),
    ("|x - 4|", "4 - x"),
    (r"\max(x, 4)", "4"),
    (r"\begin{cases}1 & x > 0\\ 0 & x \le 0\end{cases}", r"\begin{cases}1 & x > 1\\ 0 & x \le 1\end{cases}"),
    (r"\sum_{k=1}^{10} k", "54"),
    ("(1,2)", "(2,1)"),
    ("[1,2]", "(1,2)"),
    ("1, 1, 2", "1, 2"),
    ("6 = 5", "5"),
    ("x + y = 5", "5"),
    ("x > 2", "x < 2"),
    (r"x \ge 2", "x > 2"),
    (r"1 \le x \le 3", "1 < x < 3"),
    ("x = 5", "y = 5"),
    ("y = x^2", "y = x^3"),
    ("1011_2", "1011_3"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}"),
    ("x - 3 = 0", "-x - 3 = 0"),
    ("3:4", "4:3"),
    (r"(1, \infty)", "(1, 5)"),
    ("1, 2, 3", "1, 2"),
    (r"\infty", r"-\infty"),
    ("ellipse", "circle"),
    ("(1,2,3)", "(1,2)"),
    ("x^2 + x + C", "x^2 + C"),
    ("2x - 4y = 6", "2x - 4y = 7"),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_these_say_the_same_both_ways(left: str, right: str) -> None:
    assert same(read(tidy(left)), read(tidy(right))) is True
    assert same(read(tidy(right)), read(tidy(left))) is True


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_these_differ_both_ways(left: str, right: str) -> None:
    assert same(read(tidy(left)), read(tidy(right))) is False
    assert same(read(tidy(right)), read(tidy(left))) is False


@pytest.mark.parametrize(
    ("left", "right"), [("9^{9^{9^9}}", r"\pi"), (r"\frac{1}{0}", "1"), ("even", "2"), ("f(x, y)", "f(y, x)")]
)
def test_what_cannot_be_told_is_none(left: str, right: str) -> None:
    assert same(read(left), read(right)) is None
    assert same(read(right), read(left)) is None
