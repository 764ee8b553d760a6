"""The names that an answer may use, in LaTeX and without: operators, functions, constants, letters, units."""

import re


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split(maxsplit=1) for pair in text.strip().splitlines())


RELATIONS = {name: sign for sign, names in _pairs(r"""
= = == := \equiv \cong
~= \approx
< < \lt
> > \gt
<= <= \le
>= >= \ge
!= != \ne
~ \sim \propto
in \in
-> -> \to \rightarrow \mapsto
=> \Rightarrow \implies
<< \subset
<<= \subseteq
| \mid
perp \perp
mod \mod \bmod \pmod mod
parallel \parallel""").items() for name in names.split()}  # fmt: skip

FUNCTIONS = _names(
    "sin cos tan cot sec csc sinh cosh tanh coth arcsin arccos arctan arccot arcsec arccsc asin acos atan ln log lg "
    "exp max min gcd lcm abs sqrt det floor ceil Re Im arg arcsinh arccosh arctanh asinh acosh atanh arsinh arcosh "
    "artanh"
)
INVERTED = _names("sin cos tan cot sec csc sinh cosh tanh")  # f^{-1} is their inverse, not their reciprocal
CONSTANTS = {name: value for value, names in _pairs(r"""
pi \pi pi
inf \infty \infin infty inf infinity oo
empty \emptyset
e e
i i""").items() for name in names.split()}  # fmt: skip

TIMES = _names(r"\cdot \times * \ast \cdotp")
OVER = _names(r"/ \div")
SEPARATORS = _names(", ;")
NAMED_TWICE = {"arsinh": "arcsinh", "arcosh": "arccosh", "artanh": "arctanh"}  # one function under two names
AND = _names(r"and or AND OR \land \lor \wedge \vee und et y")
OR = _names(r"or \lor \vee")
SET_OPERATORS = {r"\cup": "union", "U": "union", r"\cap": "meet", r"\setminus": "without", r"\backslash": "without"}
CLOSING = {"(": ")", "[": "]", r"\{": r"\}", "{": "}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil",
           r"\langle": r"\rangle"}  # fmt: skip
BARS = {"|": "|", r"\|": r"\|", r"\vert": r"\vert", r"\Vert": r"\Vert", r"\lvert": r"\rvert", r"\lVert": r"\rVert"}
SIGNS = _names(r"+ - \pm \mp")
MATRICES = _names("cases pmatrix matrix array vmatrix smallmatrix Bmatrix")
DECORATIONS = _names(
    r"\vec \overrightarrow \hat \widehat \overline \bar \tilde \widetilde \mathcal \mathbb \mathsf \underline \dot"
    r" \ddot \overleftrightarrow \boldsymbol \pmb \overarc"
)
OPERATORS = _names(r"\sum \prod \int \iint \oint \lim")
LETTERS = re.compile(
    r"\\(?:alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|vartheta|iota|kappa|lambda|mu|nu|xi|rho|sigma|tau"
    r"|upsilon|phi|varphi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega|ell|hbar|partial|nabla"
    r"|prime|angle|triangle|square|circ|top|Re|Im|dots|ldots|cdots|star|bigcirc|diamond|clubsuit|odot|oplus|otimes"
    r"|forall|exists|neg|aleph|measuredangle)"
)
NO_PROSE = FUNCTIONS | _names(
    "and or pi inf infty infinity oo mod pmatrix matrix array vmatrix bmatrix cases mid where"
)
SMALL_WORDS = _names("is the of are has for was not she its per you la le les est de des un une pour que")
OPENERS = _names("therefore so thus hence the it he she this that in after then finally we of")
NO_UNITS = _names(
    "squared cubed factorial choose over plus minus times divided by root half halves third thirds fourth fourths"
    " quarter quarters fifth fifths tenth tenths hundredth hundredths lakh crore remainder more less fewer short mille"
    " out percent wrong incorrect not except power to the point hundredths than least most"
    " or and is the are has for was not sqrt sin cos tan log ln mod base if when with where dozen hundred thousand"
    " million billion trillion cdot"
)

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS = {
    **{word: n for n, word in enumerate(_ONES.split())},
    **{word: 10 * n for n, word in enumerate(_TENS.split(), 2)},
}
POWER_WORDS = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
SAYINGS = {
    "all real numbers": r"\mathbb{R}", "all reals": r"\mathbb{R}", "the real numbers": r"\mathbb{R}",
    "the set of all real numbers": r"\mathbb{R}", "no solution": r"\emptyset", "no solutions": r"\emptyset",
    "no real solution": r"\emptyset", "no real solutions": r"\emptyset", "empty set": r"\emptyset",
    "the empty set": r"\emptyset", "none": r"\emptyset",
}  # fmt: skip

ONE_LETTER_UNITS = {"m": "meters", "s": "seconds", "g": "grams", "h": "hours", "L": "liters", "N": "newtons",
                    "J": "joules", "W": "watts", "V": "volts"}  # fmt: skip

# Exact, in one base unit a line (SI; the international yard and pound of 1959).
UNITS: dict[str, dict[str, int | str]] = {
    "length": {"m": 1, "meter": 1, "metre": 1, "km": 1000, "kilometer": 1000, "cm": "1/100", "centimeter": "1/100",
               "mm": "1/1000", "millimeter": "1/1000", "in": "0.0254", "inch": "0.0254", "inche": "0.0254",
               "ft": "0.3048", "foot": "0.3048", "feet": "0.3048", "yard": "0.9144", "yd": "0.9144",
               "mile": "1609.344"},
    "time": {"second": 1, "sec": 1, "min": 60, "minute": 60, "hour": 3600, "hr": 3600, "day": 86400, "week": 604800},
    "mass": {"g": 1, "gram": 1, "kg": 1000, "kilogram": 1000, "mg": "1/1000", "lb": "453.59237", "pound": "453.59237",
             "ounce": "28.349523125", "oz": "28.349523125"},
    "volume": {"liter": 1, "litre": 1, "ml": "1/1000", "milliliter": "1/1000"},
    "money": {"dollar": 1, "cent": "1/100"},
    "speed": {"m/s": 1, "km/h": "5/18", "kmh": "5/18", "kph": "5/18"},
}  # fmt: skip
