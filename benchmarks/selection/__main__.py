"""Choosing: among k answers by votes and reward models; among traces for training; shorter ones over longer ones.

    python -m benchmarks.selection [data] [votes] [labels] [length] [grpo] [--seeds 3] [--problems 334]

Five parts on the tiny worlds, a file each, with their tables (prose in RESULTS.md); all of it takes about two hours of
one core, and what is made is kept in build/selection, so an interrupted run goes on.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from benchmarks.machine import machine
from benchmarks.selection import data, grpo, labels, length, votes


def main(arguments: Sequence[str]) -> int:
    parts: dict[str, Callable[[argparse.Namespace], None]] = {
        "data": lambda a: data.run(a.seeds, a.problems), "votes": lambda a: votes.run(a.seeds, a.problems),
        "labels": lambda a: labels.run(a.seeds), "length": lambda a: length.run(a.seeds, a.problems),
        "grpo": lambda a: grpo.run(a.seeds, a.problems)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", choices=[*parts, []], help="which parts; all by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--problems", type=int, default=334, help="fresh problems of each seed")
    chosen = parser.parse_args(arguments)
    print(machine())
    for name in chosen.part or parts:
        parts[name](chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
