"""How much of a trace is one line over and over: the share of its most frequent line among its lines (0 to 1).

After the duplicate-line rule of Gopher (Rae et al. 2021, table A1), for the one line that a trace comes back to: a
model that is stuck returns to a sentence and says other things between. Lines of under `characters` (brackets, list
marks) do not count, nor does a line that stands there fewer than `times` times.
"""

from factory.measures.words import prepare as prepare
from factory.measures.words import read
from factory.records import Problem, Trace

VERSION = 1


def repeated_line(problem: Problem, trace: Trace, *, characters: int = 20, times: int = 5) -> float:
    reading, index = read(trace.completion.raw)
    lines, most = reading.lines(characters)[index]
    return most / lines if most >= max(times, 1) else 0.0
