"""Small programming problems without end, each with a right program and inputs: the world W-CODE of the benchmarks.

A problem reads one input from stdin and prints one answer. Its constants are drawn, so that its mutants are not those
of its neighbour. Everything here is made by rule; nothing is from a data set.
"""

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

Rng = random.Random


class Spec(NamedTuple):
    """A statement, a right program, and how an input of a size (1 small, 2 ordinary, 3 with extremes) is drawn."""

    name: str
    statement: str
    program: str
    draw: Callable[[Rng, int], str]


def _numbers(low: int, high: int) -> Callable[[Rng, int], str]:
    """One line of numbers."""
    def draw(rng: Rng, size: int) -> str:
        count = rng.randint(1, (4, 12, 40)[size - 1])
        reach = 1 if size < 3 or rng.random() < 0.5 else 50
        return " ".join(str(rng.randint(low * reach, high * reach)) for _ in range(count)) + "\n"
    return draw


def _letters(alphabet: str) -> Callable[[Rng, int], str]:
    def draw(rng: Rng, size: int) -> str:
        return "".join(rng.choices(alphabet, k=rng.randint(1, (5, 15, 60)[size - 1]))) + "\n"
    return draw


def _intervals(rng: Rng, size: int) -> str:
    lines = [sorted((rng.randint(0, 30), rng.randint(0, 30))) for _ in range(rng.randint(1, (2, 6, 15)[size - 1]))]
    return "".join(f"{a} {b}\n" for a, b in lines)


def _divisible(rng: Rng) -> Spec:
    k, low = rng.randint(2, 7), rng.randint(-5, 5)
    return Spec("divisible", f"Print the sum of the numbers that are divisible by {k} and larger than {low}.",
                f"""\
numbers = list(map(int, input().split()))
total = 0
for number in numbers:
    if number % {k} == 0 and number > {low}:
        total += number
print(total)
""", _numbers(-20, 40))


def _longest_run(rng: Rng) -> Spec:
    tie = rng.choice(("first", "last"))
    sign = ">" if tie == "first" else ">="
    return Spec("longest_run", f"Print the letter of the longest run of one letter, the {tie} of equal ones, and its "
                "length.",
                f"""\
text = input().strip()
best, letter, length = 0, "", 0
for place in range(len(text)):
    if place > 0 and text[place] == text[place - 1]:
        length += 1
    else:
        length = 1
    if length {sign} best:
        best, letter = length, text[place]
print(letter, best)
""", _letters("aab"))


def _best_part(rng: Rng) -> Spec:
    least = rng.randint(1, 3)
    return Spec("best_part", f"Print the largest sum of at least {least} numbers in a row, or none if there are fewer.",
                f"""\
numbers = list(map(int, input().split()))
best = None
for start in range(len(numbers)):
    total = 0
    for end in range(start, len(numbers)):
        total += numbers[end]
        if end - start + 1 >= {least} and (best is None or total > best):
            best = total
print("none" if best is None else best)
""", _numbers(-9, 9))


def _pairs(rng: Rng) -> Spec:
    k = rng.randint(3, 12)
    return Spec("pairs", f"Print how many pairs of places i < j hold numbers whose difference is at most {k} and whose "
                "sum is odd.",
                f"""\
numbers = list(map(int, input().split()))
count = 0
for i in range(len(numbers)):
    for j in range(i + 1, len(numbers)):
        if abs(numbers[i] - numbers[j]) <= {k} and (numbers[i] + numbers[j]) % 2 == 1:
            count += 1
print(count)
""", _numbers(0, 20))


def _digits(rng: Rng) -> Spec:
    base, times = rng.randint(2, 9), rng.randint(1, 3)
    return Spec("digits", f"For each number n print the sum of its digits in base {base}, times {times}, plus 1 if "
                "n is even.",
                f"""\
answers = []
for number in map(int, input().split()):
    rest, total = abs(number), 0
    while rest > 0:
        total += rest % {base}
        rest //= {base}
    total *= {times}
    if number % 2 == 0:
        total += 1
    answers.append(total)
print(*answers)
""", _numbers(-50, 99))


def _brackets(rng: Rng) -> Spec:
    deep = rng.randint(2, 4)
    return Spec("brackets", f"Print the length of the longest beginning that is balanced and never deeper than {deep}.",
                f"""\
text = input().strip()
depth, best = 0, 0
for place, letter in enumerate(text):
    if letter == "(":
        depth += 1
    else:
        depth -= 1
    if depth < 0 or depth > {deep}:
        break
    if depth == 0:
        best = place + 1
print(best)
""", _letters("(()))("))


def _covered(rng: Rng) -> Spec:
    gap = rng.randint(0, 2)
    return Spec("covered", f"Intervals whose distance is at most {gap} are joined. Print how many remain and their "
                "total length.",
                f"""\
import sys
intervals = sorted(tuple(map(int, line.split())) for line in sys.stdin if line.strip())
joined = []
for low, high in intervals:
    if joined and low - joined[-1][1] <= {gap}:
        joined[-1][1] = max(joined[-1][1], high)
    else:
        joined.append([low, high])
print(len(joined), sum(high - low for low, high in joined))
""", _intervals)


def _coins(rng: Rng) -> Spec:
    coins = sorted([*rng.sample(range(3, 12), 2), rng.choice((1, 2))])
    return Spec("coins", f"For each number print the fewest coins of {coins} that make it, or -1.",
                f"""\
coins = {coins}
answers = []
for number in map(int, input().split()):
    fewest = [0]
    for amount in range(1, number + 1):
        ways = [fewest[amount - coin] for coin in coins if amount >= coin and fewest[amount - coin] >= 0]
        fewest.append(min(ways) + 1 if ways else -1)
    answers.append(fewest[number])
print(*answers)
""", lambda r, size: " ".join(str(r.randint(0, (9, 25, 90)[size - 1])) for _ in range(r.randint(1, 5))) + "\n")


def _inversions(rng: Rng) -> Spec:
    factor = rng.randint(1, 3)
    return Spec("inversions", f"Print how many places i < j hold a number larger than {factor} times the later one.",
                f"""\
numbers = list(map(int, input().split()))
count = 0
for j in range(1, len(numbers)):
    for i in range(j):
        if numbers[i] > {factor} * numbers[j]:
            count += 1
print(count)
""", _numbers(-5, 30))


def _steps(rng: Rng) -> Spec:
    add, at_most = rng.choice((1, 3, 5)), rng.randint(20, 60)
    return Spec("steps", f"An even number is halved, an odd one tripled and {add} added. For each number print after "
                f"how many steps it is 1, or stop at {at_most} steps.",
                f"""\
answers = []
for number in map(int, input().split()):
    steps = 0
    while number != 1 and steps < {at_most}:
        if number % 2 == 0:
            number //= 2
        else:
            number = 3 * number + {add}
        steps += 1
    answers.append(steps)
print(*answers)
""", lambda r, size: " ".join(str(r.randint(1, (9, 50, 999)[size - 1])) for _ in range(r.randint(1, 6))) + "\n")


def _second(rng: Rng) -> Spec:
    rank = rng.randint(2, 3)
    return Spec("second", f"Print the number that is at place {rank} of the different numbers, the largest first, and "
                "how often it occurs; or none.",
                f"""\
numbers = list(map(int, input().split()))
different = sorted(set(numbers), reverse=True)
if len(different) < {rank}:
    print("none")
else:
    wanted = different[{rank - 1}]
    print(wanted, numbers.count(wanted))
""", _numbers(-4, 6))


def _palindromes(rng: Rng) -> Spec:
    least = rng.randint(2, 4)
    return Spec("palindromes", f"Print how many parts of at least {least} letters read the same backwards.",
                f"""\
text = input().strip()
count = 0
for start in range(len(text)):
    for end in range(start + {least}, len(text) + 1):
        part = text[start:end]
        if part == part[::-1]:
            count += 1
print(count)
""", _letters("ab"))


FAMILIES = (_divisible, _longest_run, _best_part, _pairs, _digits, _brackets, _covered, _coins, _inversions, _steps,
            _second, _palindromes)


def specs(count: int, seed: int = 0) -> Iterator[Spec]:
    """`count` problems, all families in turn; two of one family differ in their constants at least by chance."""
    rng = random.Random(f"code_world/{seed}")
    for number in range(count):
        yield FAMILIES[number % len(FAMILIES)](rng)


def inputs(spec: Spec, sizes: list[int], rng: Rng) -> list[str]:
    """Different inputs of these sizes, as many as can be found."""
    found: dict[str, None] = {}
    for size in sizes:
        for _ in range(20):
            text = spec.draw(rng, size)
            if text not in found:
                found[text] = None
                break
    return list(found)
