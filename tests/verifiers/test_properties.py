r"""Properties of `math_equal` over generated answers of every kind: symmetric, the same under rewriting, and strict.

Every example is built as (an answer, the same answer in another form, another answer), so what must be accepted and
what must be rejected is known by construction, not by a second checker.
"""

from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from verifiers.math_equal import math_equal

QUICK = settings(derandomize=True, database=None, deadline=None, max_examples=40,
                 suppress_health_check=[HealthCheck.too_slow])  # fmt: skip


class Example(NamedTuple):
    answer: str
    same: str
    other: str


Examples = st.SearchStrategy[Example]
whole = st.integers(-999, 999)
positive = st.integers(1, 60)
beyond = st.integers(2, 60)


def signed(n: int) -> str:
    return f"+ {n}" if n >= 0 else f"- {-n}"


def term(n: int, name: str) -> str:
    """`- 3x`, `+ x`, or nothing for 0."""
    return "" if n == 0 else f"{'-' if n < 0 else '+'} {abs(n) if abs(n) != 1 else ''}{name}"


def latex(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value)
    return rf"{'-' if value < 0 else ''}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def number(n: int, scale: int, other: int) -> Example:
    return Example(str(n), rf"\frac{{{n * scale}}}{{{scale}}}", str(n + other))


def thousands(n: int, other: int) -> Example:
    return Example(str(n), f"{n:,}", f"{n + other:,}")


def currency(n: int, cents: int, other: int) -> Example:
    return Example(f"{n}.{cents:02d}", rf"\${n}.{cents:02d}", rf"\${n + other}.{cents:02d}")


def fraction(p: int, q: int, scale: int, other: int) -> Example:
    return Example(latex(Fraction(p, q)), f"{p * scale}/{q * scale}", latex(Fraction(p, q) + Fraction(1, other)))


def mixed(n: int, p: int, q: int) -> Example:
    value = n + Fraction(p, p + q)
    return Example(latex(value), rf"{n}\frac{{{p}}}{{{p + q}}}", rf"{n + 1}\frac{{{p}}}{{{p + q}}}")


def decimal(n: int, digits: int, other: int) -> Example:
    value = Fraction(n, 10**digits)
    return Example(f"{float(value):.{digits}f}", latex(value), f"{float(value * (1 + Fraction(1, other))):.9f}")


def scientific(n: int, power: int) -> Example:
    return Example(str(n * 10**power), rf"{n} \times 10^{{{power}}}", rf"{n} \times 10^{{{power + 1}}}")


def radical(a: int, b: int, other: int) -> Example:
    return Example(rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b}}}", rf"{a}\sqrt{{{b + other}}}")


def surd(a: int, b: int, c: int) -> Example:
    """The conjugate form: a + b sqrt(c) against b sqrt(c) + a, and a - b sqrt(c)."""
    root = rf"{b}\sqrt{{{c}}}"
    return Example(f"{a} + {root}", f"{root} {signed(a)}", f"{a} - {root}")


def constant(a: int, b: int, other: int) -> Example:
    return Example(rf"\frac{{{a}\pi}}{{{b}}}", rf"{a}\pi / {b}", rf"\frac{{{a + other}\pi}}{{{b}}}")


def polynomial(a: int, b: int, other: int) -> Example:
    middle = term(-a - b, "x")
    return Example(f"(x {signed(-a)})(x {signed(-b)})", f"x^2 {middle} {signed(a * b)}",
                   f"x^2 {middle} {signed(a * b + other)}")  # fmt: skip


def rational_function(a: int, b: int, other: int) -> Example:
    return Example(rf"\frac{{{a}x + {b}}}{{x}}", rf"{a} + \frac{{{b}}}{{x}}", rf"{a} + \frac{{{b + other}}}{{x}}")


def antiderivative(a: int, n: int, other: int) -> Example:
    """Its last letter is no option C."""
    return Example(f"{a}x^{n} + C", f"C + {a}x^{{{n}}}", f"{a + other}x^{n} + C")


def letters(a: int, b: int, other: int) -> Example:
    return Example(f"{a}A + {b}B", f"{b}B + {a}A", f"{a + other}A + {b}B")


def hexadecimal(n: int, other: int) -> Example:
    return Example(f"0x{n:x}", f"0x{n:X}", f"0x{n + other:x}")


def powers(a: int, b: int) -> Example:
    return Example(f"x^{{{a + b}}}", f"x^{{{a}}} x^{{{b}}}", f"x^{{{a + b + 1}}}")


def complex_number(a: int, b: int) -> Example:
    return Example(f"{a} + {b}i", f"{b}i {signed(a)}", f"{a} - {b}i")


def a_set(items: set[int], other: int) -> Example:
    there = sorted(items)
    return Example(rf"\{{{', '.join(map(str, there))}\}}", rf"\left\{{{', '.join(map(str, reversed(there)))}\right\}}",
                   rf"\{{{', '.join(map(str, [*there[1:], there[-1] + other]))}\}}")  # fmt: skip


def a_list(items: set[int], other: int) -> Example:
    there = sorted(items)
    return Example(", ".join(map(str, there)), " and ".join([", ".join(map(str, there[1:])), str(there[0])]),
                   ", ".join(map(str, [*there[1:], there[-1] + other])))  # fmt: skip


def a_tuple(a: int, b: int, p: int, q: int) -> Example:
    """Order counts: (a, a + b, …) is not (a + b, a, …)."""
    last = Fraction(p, q)
    return Example(f"({a}, {a + b}, {latex(last)})", rf"\left({a},{a + b},{last}\right)",
                   f"({a + b}, {a}, {latex(last)})")  # fmt: skip


def interval(a: int, b: int) -> Example:
    return Example(f"[{a}, {a + b})", rf"{a} \le x < {a + b}", f"({a}, {a + b})")


def ray(a: int, b: int) -> Example:
    return Example(rf"({a}, \infty)", f"x > {a}", rf"({a}, {a + b})")


def union(a: int, b: int, c: int) -> Example:
    first, second = f"({a}, {a + b})", f"[{a + b + c}, {a + b + c + 1}]"
    return Example(rf"{first} \cup {second}", rf"{second}\cup{first}", first)


def inequality(a: int, other: int) -> Example:
    return Example(rf"x \geq {a}", rf"{a} \le x", rf"x \geq {a + other}")


def equation(m: int, b: int, other: int) -> Example:
    return Example(f"y = {m}x + {b}", f"{m}x - y + {b} = 0", f"y = {m}x + {b + other}")


def named(n: int, other: int) -> Example:
    return Example(str(n), f"x = {n}", f"x = {n + other}")


def matrix(a: int, b: int, c: int, other: int) -> Example:
    rows = rf"{a} & {b} \\ {c} & %d"
    return Example(rf"\begin{{pmatrix}}{rows % a}\end{{pmatrix}}", rf"\begin{{bmatrix}} {rows % a} \\ \end{{bmatrix}}",
                   rf"\begin{{pmatrix}}{rows % (a + other)}\end{{pmatrix}}")  # fmt: skip


def percent(n: int, other: int) -> Example:
    return Example(rf"{n}\%", f"{n} %", rf"{n + other}\%")


def unit(n: int, other: int) -> Example:
    return Example(rf"{n} \text{{ cm}}", f"{n} cm", rf"{n + other}\text{{ cm}}")


def angle(n: int, other: int) -> Example:
    return Example(rf"{n}^\circ", f"{n}°", rf"{n + other}^{{\circ}}")


def ratio(a: int, b: int) -> Example:
    return Example(f"{a}:{a + b}", rf"{a} : {a + b}", f"{a + b}:{a}")


def in_base(n: int, other: int) -> Example:
    return Example(f"{n:b}_2", rf"{n:b}_{{2}}", f"{n + other:b}_2")


def choice(n: int, other: int) -> Example:
    here, there = chr(65 + n % 5), chr(65 + (n + 1 + other % 4) % 5)
    return Example(f"({here})", rf"\text{{{here}}}", f"({there})")


def words(n: int, other: int) -> Example:
    names = ["Monday", "odd", "parabola", "neither", "Evelyn", "blue", "east", "trapezoid"]
    said = names[n % 8]
    return Example(rf"\text{{{said}}}", said.lower(), names[(n + 1 + other % 7) % 8])


several = st.sets(whole, min_size=2, max_size=6)
KINDS: dict[str, Examples] = {
    "number": st.builds(number, whole, beyond, positive),
    "thousands": st.builds(thousands, st.integers(1_000, 10**9), positive),
    "currency": st.builds(currency, positive, st.integers(0, 99), positive),
    "fraction": st.builds(fraction, whole, beyond, beyond, beyond),
    "mixed": st.builds(mixed, positive, positive, positive),
    "decimal": st.builds(decimal, st.integers(1, 10**6), st.integers(1, 6), st.integers(2, 50)),
    "scientific": st.builds(scientific, st.integers(1, 9), st.integers(2, 12)),
    "radical": st.builds(radical, beyond, beyond, positive),
    "surd": st.builds(surd, whole, positive, st.sampled_from([2, 3, 5, 6, 7, 10, 11])),
    "constant": st.builds(constant, positive, beyond, positive),
    "polynomial": st.builds(polynomial, whole, whole, positive),
    "rational function": st.builds(rational_function, positive, positive, positive),
    "antiderivative": st.builds(antiderivative, beyond, st.integers(2, 9), positive),
    "letters": st.builds(letters, beyond, beyond, positive),
    "hexadecimal": st.builds(hexadecimal, st.integers(256, 2**40), positive),
    "powers": st.builds(powers, positive, positive),
    "complex": st.builds(complex_number, whole, beyond),
    "set": st.builds(a_set, several, positive),
    "list": st.builds(a_list, several, positive),
    "tuple": st.builds(a_tuple, whole, positive, whole, beyond),
    "interval": st.builds(interval, whole, positive),
    "ray": st.builds(ray, whole, positive),
    "union": st.builds(union, whole, positive, positive),
    "inequality": st.builds(inequality, whole, positive),
    "equation": st.builds(equation, beyond, positive, positive),
    "named": st.builds(named, whole, positive),
    "matrix": st.builds(matrix, whole, whole, whole, positive),
    "percent": st.builds(percent, positive, positive),
    "unit": st.builds(unit, positive, positive),
    "angle": st.builds(angle, positive, positive),
    "ratio": st.builds(ratio, positive, positive),
    "base": st.builds(in_base, positive, positive),
    "choice": st.builds(choice, positive, positive),
    "words": st.builds(words, positive, positive),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def status(answer: str, reference: str) -> str:
    return math_equal(rf"So the answer is \boxed{{{answer}}}.", reference).status


@every_kind
@QUICK
@given(data=st.data())
def test_the_same_answer_in_another_form_is_correct(kind: str, data: st.DataObject) -> None:
    example = data.draw(KINDS[kind])
    assert status(example.answer, example.answer) == "correct"
    assert status(example.same, example.answer) == "correct"


@every_kind
@QUICK
@given(data=st.data())
def test_another_answer_is_wrong(kind: str, data: st.DataObject) -> None:
    example = data.draw(KINDS[kind])
    assert status(example.other, example.answer) == "wrong"
    assert status(example.other, example.same) == "wrong"


@every_kind
@QUICK
@given(data=st.data())
def test_both_orders_have_one_verdict(kind: str, data: st.DataObject) -> None:
    """Within a kind, and against an answer of any other."""
    mine, theirs = data.draw(KINDS[kind]), data.draw(st.one_of(*KINDS.values()))
    for one, other in [(mine.answer, mine.same), (mine.same, mine.other), (mine.answer, theirs.answer),
                       (mine.other, theirs.same)]:  # fmt: skip
        assert status(one, other) == status(other, one), (one, other)


REWRITINGS = {
    "spaces": lambda text: f"  {text.replace(',', ' , ').replace('+', ' + ')} ",
    "thin spaces": lambda text: r"\, " + text.replace(" - ", r" -\; ") + r" \!",
    "left and right": lambda text: text.replace("(", r"\left(").replace(")", r"\right)"),
    "display fractions": lambda text: text.replace(r"\frac", r"\dfrac"),
    "text fractions": lambda text: text.replace(r"\frac", r"\tfrac"),
    "dollars": lambda text: f"${text}$",
    "braces": lambda text: text if text.isalnum() and not text.isdigit() else f"{{{text}}}",
    "a final dot": lambda text: f"{text}.",
    "a box in the box": lambda text: rf"\boxed{{{text}}}",
    "display style": lambda text: rf"\displaystyle {text}",
    "unicode minus": lambda text: text.replace("-", "−"),
}


@pytest.mark.parametrize("rewriting", REWRITINGS)
@settings(QUICK, max_examples=200)
@given(example=st.one_of(*KINDS.values()))
def test_a_rewriting_changes_no_verdict(rewriting: str, example: Example) -> None:
    rewrite = REWRITINGS[rewriting]
    assert status(rewrite(example.answer), example.answer) == "correct"
    assert status(example.answer, rewrite(example.answer)) == "correct"
    assert status(rewrite(example.other), example.answer) == "wrong"


@QUICK
@given(response=st.text(max_size=80), reference=st.text(max_size=40))
def test_any_text_gets_a_verdict(response: str, reference: str) -> None:
    assert math_equal(response, reference).status in ("correct", "wrong", "undecided")
    assert math_equal(rf"\boxed{{{response}}}", reference).status in ("correct", "wrong", "undecided")
