"""What the grammar reads, and what it refuses before anything is worked out."""

from fractions import Fraction

import pytest

from verifiers.grammar import NESTING, TOKENS, Node, Unreadable, number, read


def test_a_fraction_and_a_sum_are_a_list() -> None:
    tree = read(r"\frac{1}{2}, x^2 + 1")
    assert tree == Node("list", None, (
        Node("quotient", None, (number(1), number(2))),
        Node("sum", None, (Node("power", None, (Node("symbol", "x"), number(2))), number(1))),
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2x", r"2 \cdot x"),
        ("2^3^2", "2^{3^2}"),
        (r"\sin 2x", r"\sin(2x)"),
        (r"\sin^2 x", r"(\sin x)^2"),
        (r"\sin^{-1} x", r"\arcsin x"),
        ("xy", r"x \cdot y"),
        ("xy^2", "x y^2"),
        (r"|x||y|", r"|x| \cdot |y|"),
        (r"\frac12", r"\frac{1}{2}"),
        (r"[\begin{matrix}1\\2\end{matrix}]", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        ("2sin(x)", r"2\sin(x)"),
        ("3 1 -4", "(3, 1, -4)"),
    ],
)
def test_two_spellings_are_one_tree(text: str, same: str) -> None:
    assert read(text) == read(same)


@pytest.mark.parametrize(("text", "kind"), [
    ("(1,2]", "group"), (r"\{1,2\}", "set"), ("x<5", "relation"), ("1011_2", "base"), ("3:4", "ratio"),
    (r"(1,2)\cup(3,4)\cup(5,6)", "union"), ("5 apples", "unit"), ("even", "text"), ("50%", "percent"),
])  # fmt: skip
def test_the_kind_is_known(text: str, kind: str) -> None:
    assert read(text).kind == kind


def test_a_mixed_number_is_a_sum() -> None:
    assert read(r"2\frac{1}{2}").kind == "sum"
    assert read("2 1/2") == Node("sum", None, (number(2), Node("quotient", None, (number(1), number(2)))))
    assert read("0.5") == number(Fraction(1, 2))


@pytest.mark.parametrize(
    "text",
    ["", "(", "1 +", ")", "(1}", r"\frac{1}", r"\unknown{3}", "0x1f", "8gf0", "1..2", "2 3", "&", "₁", "\x00", "()",
     r"\begin{tikz}1\end{tikz}", r"\begin{pmatrix}1&2\\3\end{pmatrix}", "os.system('x')", "a__b"],
)  # fmt: skip
def test_what_is_no_answer_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        read(text)


@pytest.mark.parametrize("text", ["(" * (NESTING + 1) + "1" + ")" * (NESTING + 1), "x+" * TOKENS + "x", "1" * 1_001,
                                  "-" * 3_000 + "1", "{" * 100_000])  # fmt: skip
def test_the_caps_hold_before_anything_is_worked_out(text: str) -> None:
    with pytest.raises(Unreadable):
        read(text)
