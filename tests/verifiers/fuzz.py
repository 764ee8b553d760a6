r"""Mutated text against extraction, grammar and `math_equal`: no exception, no hang, no execution of the text.

    .venv/bin/python tests/verifiers/fuzz.py SECONDS        by hand, and for 10 minutes weekly
    .venv/bin/python tests/verifiers/fuzz.py --runs 20000   the same inputs each time, as in `make test`

atheris (libFuzzer) mutates towards new branches of `verifiers/`, over plain text and over pieces of answers joined at
random. An audit hook notes whatever Python would compile, execute, import, open or start during a verdict. What failed
is printed with the two texts that did it; the exit status is then not 0.
"""

import argparse
import contextlib
import sys
import tempfile
import time

import atheris

with atheris.instrument_imports(include=["verifiers"]):
    from verifiers.answers import final_answer
    from verifiers.grammar import Unreadable, read
    from verifiers.math_equal import math_equal

SECONDS = 2.0  # of CPU, for one verdict
FORBIDDEN = ("exec", "compile", "open", "import", "os.", "subprocess.", "socket.", "ctypes.", "pickle.", "shutil.")
SEEDS = [
    (r"So it is \boxed{\frac{3}{4}}.", "0.75"), ("The answer is 1,234 m.", "1234"), (r"\boxed{40\%}", "0.4"),
    (r"#### \{1, 2, 3\}", r"\{3,2,1\}"), (r"\boxed{2\sqrt{3} + 5i}", r"5i+\sqrt{12}"), (r"\boxed{5^(5^(5^5))}", "5"),
    (r"\boxed{\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}}", "[[1,2],[3,4]]"), ("<think>5</think>**7**", "seven"),
    (r"\boxed{101_{2}}", "101_2"), (r"\boxed{(-\infty, 3]}", r"x \le 3"), (r"\boxed{x^2 - 4}", "(x-2)(x+2)"),
    (r"\boxed{\sin^{2} x + \cos^2 x}", "1"), (r"\boxed{y = 2x + 1}", "2x - y + 1 = 0"),
    (r"\boxed{3 \pm \sqrt{2}}", r"3+\sqrt2, 3-\sqrt2"),
]  # fmt: skip
PIECES = [
    *"0123456789", *"xyinCU+-*/^_=<>()[]{},.:;!|&%$'\"`~# \n", *"²½₁٣−π∞√°", "\u202f", "\x00", "\ud800",
    "1e9", "10^", "99999", "0x1f", "...", r"\frac", r"\sqrt", r"\boxed{", r"\left(", r"\right)", r"\{", r"\}", r"\\",
    r"\pi", r"\infty", r"\pm", r"\cdot", r"\times", r"\le", r"\ne", r"\in", r"\cup", r"\text{", r"\begin{pmatrix}",
    r"\end{pmatrix}", r"\sin", r"\log_", r"\binom", r"^\circ", r"\%", r"\$", r"\overline{", " and ", " or ", "cm",
    "east", "True", "None", "__import__", "lambda", "gcd", "answer is ", "**", "<think>", "</think>", "{1}{2}",
    "^{-1}", "!!",
]  # fmt: skip

noted: list[str] = []
watching = False


def watch(event: str, arguments: tuple[object, ...]) -> None:
    if watching and event.startswith(FORBIDDEN):
        noted.append(f"{event}{arguments!r:.200}")


def text(data: atheris.FuzzedDataProvider, pieces: bool) -> str:
    if not pieces:
        return str(data.ConsumeUnicode(data.ConsumeIntInRange(0, 400)))
    count = data.ConsumeIntInRange(0, 40)
    return "".join(PIECES[data.ConsumeIntInRange(0, len(PIECES) - 1)] for _ in range(count))


def check(response: str, reference: str) -> None:
    """All that may happen to two texts: a verdict, in time, without anything noted, and never `wrong` for itself."""
    global watching
    noted.clear()
    watching, started = True, time.process_time()
    try:
        final_answer(response)
        read_only(response)
        math_equal(response, reference)
        verdict = math_equal(rf"\boxed{{{response}}}", reference)
        itself = math_equal(rf"\boxed{{{reference}}}", reference)
    finally:
        watching = False
    seconds = time.process_time() - started
    assert verdict.status in ("correct", "wrong", "undecided")
    assert itself.answer != reference.strip() or itself.status != "wrong", "an answer that is not equal to itself"
    assert seconds < SECONDS, f"{seconds:.1f} s"
    assert not noted, f"a verdict did {noted[0]}"


def read_only(response: str) -> None:
    with contextlib.suppress(Unreadable):
        read(response)


def one_input(data: bytes) -> None:
    source = atheris.FuzzedDataProvider(data)
    pieces = source.ConsumeBool()
    response, reference = text(source, pieces), text(source, pieces)
    try:
        check(response, reference)
    except BaseException:
        print(f"\nresponse:  {response!a}\nreference: {reference!a}", file=sys.stderr)
        raise


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz final_answer, the grammar and math_equal.")
    parser.add_argument("seconds", type=int, nargs="?", default=30)
    parser.add_argument("--runs", type=int, help="this many inputs instead, from a fixed seed")
    chosen = parser.parse_args()
    for response, reference in SEEDS:
        math_equal(response, reference)  # what is imported when it is first needed is imported now
    sys.addaudithook(watch)
    for response, reference in SEEDS:
        check(response, reference)
    until = [f"-runs={chosen.runs}", "-seed=1"] if chosen.runs else [f"-max_total_time={chosen.seconds}"]
    with tempfile.TemporaryDirectory() as folder:
        limits = ["-timeout=20", "-rss_limit_mb=2048", "-max_len=1200", "-len_control=0"]
        told = ["-verbosity=0", "-print_final_stats=1", f"-artifact_prefix={folder}/"]
        atheris.Setup([sys.argv[0], *until, *limits, *told], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
