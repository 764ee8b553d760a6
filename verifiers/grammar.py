r"""A final answer as a tree: the one grammar that decides what algebra may see.

    read(r"\frac{1}{2}, x^2 + 1")  # Node("list", None, (Node("quotient", …), Node("sum", …)))

Recursive descent over tokens, LaTeX and plain notation alike. Nothing is evaluated here and nothing
is ever handed to `eval` or `sympy.parse_expr`. What the grammar does not know is `Unreadable`, and
its caps (tokens, nesting, digits) hold before anything is worked out. Linear in the number of tokens.
"""

import re
from fractions import Fraction
from typing import NamedTuple

from verifiers.vocabulary import (
    AND,
    BARS,
    CLOSING,
    CONSTANTS,
    DECORATIONS,
    FUNCTIONS,
    INVERTED,
    LETTERS,
    MATRICES,
    NAMED_TWICE,
    OPERATORS,
    OR,
    OVER,
    RELATIONS,
    SEPARATORS,
    SET_OPERATORS,
    SIGNS,
    TIMES,
)  # fmt: skip


class Unreadable(ValueError):
    """The text is not an answer that this grammar knows, or over its caps."""


class Node(NamedTuple):
    """One node. `kind` says what `value` is: a Fraction (number), a name (symbol, constant, function, text), the
    brackets (group), the operators (relation), the width (matrix), or None."""

    kind: str
    value: object = None
    parts: tuple["Node", ...] = ()


TOKENS, NESTING, DIGITS = 600, 40, 1_000

_TOKEN = re.compile(
    r"\s+|(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)|(?P<text>\"[^\"]*\")|(?P<command>\\[a-zA-Z]+|\\[{}|\\])"
    r"|(?P<word>[a-zA-Z]{2,})|(?P<symbol><=|>=|!=|==|->|:=|[a-zA-Z]|[^\W\d_]|.)",
    re.DOTALL,
)

_GLUED = re.compile(r"(?<![\\a-zA-Z])([a-zA-Z]+)[0-9]")
_ROW = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?: +-?[0-9]+(?:\.[0-9]+)?){2,199}")  # numbers in a row, in this order


def read(text: str) -> Node:
    """The tree of a tidied answer; Unreadable when it is none, longer than the caps, or empty."""
    if any(word not in FUNCTIONS for word in _GLUED.findall(text)):
        raise Unreadable("digits behind a letter")  # 0x1f is no product
    if _ROW.fullmatch(text):
        text = f"({', '.join(text.split())})"
    return _Reader(_tokens(text)).statement()


def _tokens(text: str) -> list[str]:
    found = []
    for match in _TOKEN.finditer(text):
        if match.lastgroup:
            found.append(match[0])
            if match.lastgroup == "number" and len(match[0]) > DIGITS:
                raise Unreadable(f"a number of over {DIGITS} digits")
    if len(found) > TOKENS:
        raise Unreadable(f"over {TOKENS} symbols")
    return found


def number(value: int | Fraction) -> Node:
    return Node("number", Fraction(value))


def minus(node: Node) -> Node:
    return Node("product", None, (number(-1), node))


class _Reader:
    """One pass over the tokens. `bars` counts the open `|…|`, in which a bar closes."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at, self.depth, self.bars = tokens, 0, 0, 0

    # -- the plumbing
    def peek(self, ahead: int = 0) -> str:
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        if not token:
            raise Unreadable("it ends too early")
        self.at += 1
        return token

    def accept(self, *tokens: str) -> bool:
        found = self.peek() in tokens
        self.at += found
        return found

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise Unreadable(f"{token} was expected")

    # -- lists, relations, unions
    def statement(self) -> Node:
        node = self.listing()
        if self.at < len(self.tokens):
            raise Unreadable(f"{self.peek()} was not expected")
        return node

    def listing(self) -> Node:
        self.depth += 1
        if self.depth > NESTING:
            raise Unreadable(f"nested deeper than {NESTING}")
        items, joints = [self.relation()], set()
        while joint := self._separator():
            joints.add(joint)
            items.append(self.relation())
        self.depth -= 1
        link = "or" if "or" in joints else "and" if "and" in joints else None
        return items[0] if len(items) == 1 else Node("list", link, tuple(items))

    def _separator(self) -> str:
        """`and`, `or` or a comma, which is taken; empty without one."""
        start = self.at
        while (token := self.peek()) in SEPARATORS or (token.strip('" ') in AND and len(token) > 1):
            self.at += 1
        if self.at > start and self.peek() in ("", ")", "]", "}", r"\}", "."):
            return ""  # a trailing comma
        taken = {token.strip('" ').lower() for token in self.tokens[start : self.at]}
        return "or" if taken & OR else "and" if taken - SEPARATORS else "," if taken else ""

    def relation(self) -> Node:
        sides, operators = [self.union()], []
        while (operator := RELATIONS.get(self.peek())) and not (self.peek() == r"\mid" and self.bars):
            self.at += 1
            operators.append(operator)
            sides.append(self.union())
        if not operators and self.peek() == ":" and self.peek(1):
            return self._ratio(sides[0])
        return Node("relation", tuple(operators), tuple(sides)) if operators else sides[0]

    def _ratio(self, first: Node) -> Node:
        sides = [first]
        while self.accept(":"):
            sides.append(self.union())
        return self._equated(Node("ratio", None, tuple(sides)))

    def _equated(self, left: Node) -> Node:
        if not self.accept("="):
            return left
        return Node("relation", ("=",), (left, self.relation()))

    def union(self) -> Node:
        node = self.sum()
        if self.accept(r"\choose"):
            return Node("choice", None, (node, self.sum()))
        while operator := SET_OPERATORS.get(self.peek()):
            self.at += 1
            parts = node.parts if node.kind == operator and operator != "without" else (node,)
            node = Node(operator, None, (*parts, self.sum()))
        return node

    # -- arithmetic
    def sum(self) -> Node:
        terms = [self._signed()]
        while (sign := self.peek()) in SIGNS:
            self.at += 1
            terms.append(self._with_sign(sign, self._signed()))
        return terms[0] if len(terms) == 1 else Node("sum", None, tuple(terms))

    def _signed(self) -> Node:
        sign = self.peek()
        if sign in SIGNS:
            self.at += 1
            return self._with_sign(sign, self._signed())
        return self.product()

    @staticmethod
    def _with_sign(sign: str, term: Node) -> Node:
        if sign in ("+", "-"):
            return term if sign == "+" else minus(term)
        either = Node("product", None, (Node("symbol", "±"), term))
        return either if sign == r"\pm" else minus(either)

    def product(self) -> Node:
        node = self.factor()
        while True:
            token = self.peek()
            if token in TIMES:
                self.at += 1
                node = self._times(node, self._signed_factor())
            elif token in OVER:
                self.at += 1
                node = Node("quotient", None, (node, self._signed_factor()))
            elif token == "\\%" or token == "%":
                self.at += 1
                node = Node("percent", None, (node,))
            elif self._starts_factor(token):
                node = self._beside(node)
            else:
                return node

    def _signed_factor(self) -> Node:
        return minus(self._signed_factor()) if self.accept("-") else self.factor()

    @staticmethod
    def _times(left: Node, right: Node) -> Node:
        if left.kind == "product":
            return Node("product", None, (*left.parts, right))
        return Node("product", None, (left, right))

    def _beside(self, left: Node) -> Node:
        """Two factors without a sign between them: a product, a mixed number, or a unit behind a quantity."""
        begins = self.peek()
        right = self.factor()
        if right.kind == "text":
            return self._labelled(left, str(right.value))
        if left.kind == "text":
            return self._labelled(right, str(left.value))
        mixed = begins == r"\frac" and right.kind == "quotient" and all(p.kind == "number" for p in right.parts)
        if mixed and _is_whole(left):
            return Node("sum", None, (left, right))
        if left.kind == "symbol" and right.kind == "group":
            return Node("call", left.value, right.parts)
        if left.kind == "symbol" and left.value in ("f", "g") and begins == "(":
            return Node("call", left.value, (right,))
        if left.kind == "number" and right.kind == "number":
            return self._two_numbers(left, right)
        return self._times(left, right)

    def _two_numbers(self, left: Node, right: Node) -> Node:
        """`2 3/4`, or digits that nothing joins, which is no answer."""
        if self.accept("/") and _is_whole(left) and _is_whole(right):
            bottom = self.factor()
            return Node("sum", None, (left, Node("quotient", None, (right, bottom))))
        raise Unreadable("two numbers and nothing between them")

    @staticmethod
    def _labelled(node: Node, words: str) -> Node:
        if node.kind == "text":
            return Node("text", f"{node.value} {words}")
        if node.kind == "unit":
            return Node("unit", f"{node.value} {words}".strip(), node.parts)
        return Node("unit", words, (node,))

    def _starts_factor(self, token: str) -> bool:
        if not token or token in SET_OPERATORS or token in RELATIONS or (token.strip('"') in AND and len(token) > 1):
            return False
        if token == "|":
            return not self.bars
        if _is_plain(token[0]) or token[0] == '"' or token in CLOSING:
            return True
        joins = token in (r"\\", r"\end", r"\pm", r"\mp", r"\choose")
        return token[0] == "\\" and token not in CLOSING.values() and not joins

    def factor(self) -> Node:
        node = self.atom()
        while True:
            if self.accept("^"):
                node = self._power(node)
            elif self.accept("!"):
                node = Node("factorial", None, (node,))
            elif self.peek() == "_" and node.kind in ("symbol", "number", "text", "constant"):
                node = self._subscripted(node, self.tokens[self.at - 1])
            elif self.peek() in ("'", r"\prime") and node.kind == "symbol":
                self.at += 1
                node = Node("symbol", f"{node.value}'")
            else:
                return node

    def _power(self, base: Node) -> Node:
        if self.peek() in (r"\circ", r"\prime", "'"):
            return self._marked(base, self.take())
        if self.peek() == "{" and self.peek(1) in (r"\circ", r"\prime", "'"):
            self.at += 1
            node = self._marked(base, self.take())
            self.expect("}")
            return node
        exponent = self._argument(signed=True)
        while self.accept("^"):
            exponent = self._power(exponent)
        return Node("power", None, (base, exponent))

    @staticmethod
    def _marked(base: Node, mark: str) -> Node:
        return Node("symbol", f"{base.value}'") if base.kind == "symbol" and mark != r"\circ" else base

    def _subscripted(self, node: Node, written: str) -> Node:
        self.at += 1
        start = self.at
        if self.accept("{"):
            depth = 1
            while depth:
                token = self.take()
                depth += (token == "{") - (token == "}")
            below = "".join(self.tokens[start + 1 : self.at - 1]).replace('"', "")
        else:
            below = self.take().strip('"')
        below = "".join(below.split())
        if below in ("", "_"):
            raise Unreadable("a subscript of nothing")
        if node.kind == "number":
            return Node("base", (written, below))
        return Node("symbol", f"{node.value}_{below}")

    def _argument(self, signed: bool = False) -> Node:
        """What a command takes: a group in braces, or a single digit, letter or command."""
        if self.accept("{"):
            node = self.listing()
            self.expect("}")
            return node
        if signed and self.accept("-"):
            return minus(self.atom())
        token = self.peek()
        if token[:1].isdecimal() and len(token) > 1 and "." not in token and not signed:
            self.tokens[self.at : self.at + 1] = [token[0], token[1:]]
        return self.atom()

    # -- atoms
    def atom(self) -> Node:
        token = self.take()
        if token[0].isdecimal() or (token[0] == "." and len(token) > 1):
            return Node("number", Fraction(token))
        if token[0] == '"':
            return self._quoted(token[1:-1].strip())
        if token in CLOSING:
            return self._bracketed(token)
        if token in BARS:
            return self._absolute(token)
        if token in CONSTANTS:
            return Node("constant", CONSTANTS[token])
        if token[0] == "\\":
            return self._command(token)
        if len(token) > 1:
            return self._word(token)
        if token.isalpha() or token in ("?", "∠"):
            return Node("symbol", token)
        raise Unreadable(f"{token} was not expected")

    def _quoted(self, words: str) -> Node:
        if (len(words) == 1 and words.isalpha()) or words in FUNCTIONS:
            self.tokens.insert(self.at, words)
            return self.atom()
        if re.fullmatch(r"-?\d+(?:\.\d+)?(?:/\d+)?", words):
            return _plain_number(words)
        return Node("text", words)

    def _word(self, word: str) -> Node:
        if word in FUNCTIONS:
            return self._function(word)
        if word.lower() == "pi":
            return Node("constant", "pi")
        for name in INVERTED:  # `xsin(y)`, `2pi`
            at = word.find(name)
            if at >= 0 and len(word) <= len(name) + 3:
                pieces = [word[:at], name, word[at + len(name) :]]
                self.tokens[self.at - 1 : self.at] = [
                    letter
                    for p in (pieces[:1], pieces[1:2], pieces[2:])
                    for w in p
                    for letter in ([w] if w == name else list(w))
                ]
                self.at -= 1
                return self.factor()
        if len(word) > 3:
            return Node("text", word)
        return self._letters(word)

    def _letters(self, word: str) -> Node:
        """`xy` is x times y; its last letter stays open for a power or a subscript."""
        self.tokens[self.at : self.at] = list(word)
        node = self.atom()
        for _ in word[1:-1]:
            node = self._times(node, self.atom())
        return self._times(node, self.factor())

    def _bracketed(self, opening: str) -> Node:
        bars, self.bars = self.bars, 0
        if opening == r"\{" and self.accept(r"\}"):
            return Node("constant", "empty")
        if opening == r"\{" and self.peek(1) in ("|", ":"):
            self.at += 2  # {x | …}: the condition says it
        inside = self.listing()
        closing = self.take()
        self.bars = bars
        if closing != CLOSING[opening] and (opening not in "([" or closing not in ")]"):
            raise Unreadable(f"{closing} does not close {opening}")
        return _closed(opening, closing, inside)

    def _absolute(self, bar: str) -> Node:
        self.bars += 1
        node = self.sum()
        self.bars -= 1
        self.expect(BARS[bar])
        return Node("function", "abs", (node,))

    def _command(self, command: str) -> Node:
        name = command[1:]
        if name == "frac":
            return self._fraction()
        if name in ("sqrt", "surd"):
            return self._root()
        if name in ("binom", "tbinom", "dbinom"):
            return Node("choice", None, (self._argument(), self._argument()))
        if name == "begin":
            return self._environment()
        if name in FUNCTIONS:
            return self._function(name)
        if command in OPERATORS:
            return self._operator(name)
        if command in DECORATIONS:
            return self._decorated(command)
        if LETTERS.fullmatch(command):
            return Node("symbol", name)
        raise Unreadable(f"{command} is not known")

    def _operator(self, name: str) -> Node:
        """A sum, product, integral or limit: its lower and upper limit, then what it is taken of."""
        limits = {"_": Node("list"), "^": Node("list")}
        while self.peek() in limits:
            mark = self.take()
            limits[mark] = self._argument()
        node = Node("operator", name, (limits["_"], limits["^"], self.product()))
        start = node.parts[0].parts[:1]
        return _bound(node) if start == (Node("constant", "i"),) else node

    def _fraction(self) -> Node:
        top = self._argument()
        bottom = self._argument()
        return Node("quotient", None, (top, bottom))

    def _root(self) -> Node:
        degree = number(2)
        if self.accept("["):
            degree = self.sum()
            self.expect("]")
        return Node("power", None, (self._argument(), Node("quotient", None, (number(1), degree))))

    def _decorated(self, command: str) -> Node:
        inside = self._argument()
        if (inside.kind == "constant" and command == r"\mathbb") or (inside.value == "R" and command == r"\mathbb"):
            return Node("constant", "reals")
        return Node("symbol", f"{command}({_spelling(inside)})")

    def _function(self, name: str) -> Node:
        power, base = None, None
        for _ in range(2):
            if self.accept("^"):
                power = self._argument(signed=True)
            elif self.accept("_"):
                base = self._argument()
        inverse = power == minus(number(1)) or (power is not None and power.kind == "product" and _is_minus_one(power))
        argument = self._function_argument()
        name = NAMED_TWICE.get(name, name)
        if inverse and name in INVERTED:
            name, power = f"arc{name}", None
        node = Node("function", name, (argument,) if base is None else (argument, base))
        if name == "sqrt":
            node = Node("power", None, (argument, Node("quotient", None, (number(1), number(2)))))
        return node if power is None else Node("power", None, (node, power))

    def _function_argument(self) -> Node:
        """`(x)`, `{x}`, or what stands beside it up to a sign or another function: `\\sin 2x \\cos x`."""
        if self.peek() in ("(", "{"):
            return self.atom()
        if self.accept("-"):
            return minus(self._function_argument())
        node = self.factor()
        while True:
            token = self.peek()
            if token in OVER and _is_simple(self.peek(1)):
                self.at += 1
                node = Node("quotient", None, (node, self.factor()))
            elif token == r"\cdot" and _is_simple(self.peek(1)):
                self.at += 1
                node = self._times(node, self.factor())
            elif _is_simple(token) and token.lstrip("\\") not in FUNCTIONS and token[0] != '"' and token not in AND:
                node = self._times(node, self.factor())
            else:
                return node

    def _environment(self) -> Node:
        name = self._name()
        if name == "array":
            self._name()
        if name not in MATRICES:
            raise Unreadable(f"\\begin{{{name}}} is not known")
        rows = [[self.relation()]]
        while not self.accept(r"\end"):
            if self.accept("&"):
                rows[-1].append(self.relation())
            elif self.accept(r"\\"):
                if self.peek() not in (r"\end", r"\\"):
                    rows.append([self.relation()])
            elif not self.accept(r"\hline"):
                raise Unreadable(f"{self.peek()} in a matrix")
        self._name()
        if len({len(row) for row in rows}) != 1:
            raise Unreadable("rows of different lengths")
        if name == "cases":
            parts = (row[0] if len(row) == 1 else Node("group", "()", tuple(row)) for row in rows)
            return Node("list", None, tuple(parts))
        matrix = Node("matrix", len(rows[0]), tuple(cell for row in rows for cell in row))
        return Node("function", "det", (matrix,)) if name == "vmatrix" else matrix

    def _name(self) -> str:
        self.expect("{")
        letters = []
        while not self.accept("}"):
            letters.append(self.take())
        return "".join(letters)


def _closed(opening: str, closing: str, inside: Node) -> Node:
    if opening == "{":
        return inside
    if opening == r"\{":
        return Node("set", None, inside.parts if inside.kind == "list" else (inside,))
    if opening in (r"\lfloor", r"\lceil"):
        return Node("function", opening[2:], (inside,))
    if inside.kind == "matrix":
        return inside
    if opening == r"\langle":
        opening, closing = "(", ")"
    if inside.kind == "list":
        return Node("group", opening[-1] + closing[-1], inside.parts)
    if opening == "[" or inside.kind in ("group", "relation", "set"):
        return Node("group", opening + closing, (inside,))
    return inside


def _bound(node: Node) -> Node:
    """`i` as the index of a sum, which it is beneath its sign."""
    if node == Node("constant", "i"):
        return Node("symbol", "i")
    return node._replace(parts=tuple(map(_bound, node.parts)))


def _is_whole(node: Node) -> bool:
    return node.kind == "number" and isinstance(node.value, Fraction) and node.value.denominator == 1


def _is_minus_one(node: Node) -> bool:
    return [part.value for part in node.parts] == [Fraction(-1), Fraction(1)]


def _is_plain(character: str) -> bool:
    return character.isalpha() or character.isdecimal()


def _is_simple(token: str) -> bool:
    """May it stand beside a function's name as its argument, or a part of it?"""
    return bool(token) and (
        _is_plain(token[0]) or token in (r"\pi", r"\frac", r"\sqrt") or bool(LETTERS.fullmatch(token))
    )


def _plain_number(words: str) -> Node:
    top, _, bottom = words.partition("/")
    if bottom and not int(bottom):
        raise Unreadable("a division by zero")
    return number(Fraction(top) / Fraction(bottom or 1))


def _spelling(node: Node) -> str:
    return f"{node.value or node.kind}({','.join(map(_spelling, node.parts))})" if node.parts else str(node.value)
