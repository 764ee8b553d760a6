"""What does this program return, or print? Programs in, problems out; the answers are executed, not believed.

After CRUXEval (Gu et al. 2024). Each program runs in the sandbox, twice as it is and once disturbed: other random
numbers, other addresses, sets in another order. One whose value is not the same each time, that fails, or that says too
much is set aside with the reason. The order of a set that is no `set(…)` is not disturbed: it is that of Python's
PYTHONHASHSEED=0. Lines are objects such as `{"code": "def f(x): …", "input": "3, 'a'"}`.
"""

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from factory.columns import Item, as_text, existing_file
from factory.protocols import BadRow, UserError
from factory.records import Problem
from factory.sandboxes import sandboxes
from factory.sources.jsonl import rows
from verifiers.python_literal import read as literal_value
from verifiers.sandbox import OPAQUE, Call, Limits, Program, Run, Stdin
from verifiers.sandbox_pool import Work

BATCH = 64

RETURNS = """What does `{call}` return?

```python
{code}
```

Answer with a Python literal."""
PRINTS = """What does this program print{given}?

```python
{code}
```

Answer with one Python literal, a string, without the last line break."""

_DISTURBED = """\
import random as _random
_random.seed(271828)
_addresses = [bytearray(size) for size in range(1, 4000, 37)]
class set(set):
    def __iter__(self):
        return iter(sorted(super().__iter__(), key=lambda item: repr(item)[::-1]))
"""
_ENTRY = "_value_of_the_call"


class _Asked(NamedTuple):
    """A program to ask about: `given` is the text between the brackets of the call, or what is read from stdin."""

    where: str
    code: str
    given: str
    entry: str

    @property
    def call(self) -> str:
        return f"{self.entry}({self.given})"


def output_prediction(
    *,
    path: str | Path,
    of: Literal["return", "print"] = "return",
    columns: Mapping[str, str] = {},
    entry: str = "f",
    split: str = "train",
    source: str = "output_prediction",
    licence: str = "",
    domain: str = "code",
    limit: int | None = None,
    suffix: str = "",
    characters: int = 500,
    cpu_s: float = 2.0,
    memory_mb: int = 256,
    workers: int = 2,
) -> Iterator[Problem | BadRow]:
    """`of` "return": the value of `entry(input)`; "print": what a program writes, given `stdin`. `columns` (our `code`,
    `input`, `entry`, `stdin` = their column), `characters` of an answer at most, `cpu_s` and `memory_mb` of one run,
    `workers` sandboxes, `suffix` of the prompt, `limit` of problems."""
    if characters < 1 or workers < 1 or cpu_s <= 0 or (limit is not None and limit < 1):
        raise UserError("output_prediction needs characters, workers, cpu_s and limit above 0")
    if unknown := sorted(set(columns) - {"code", "input", "entry", "stdin"}):
        raise UserError(f"columns has no field '{unknown[0]}': use code, input, entry and stdin")
    asked = (_asked(item, of, columns, entry) for item in rows(existing_file(path)))
    limits = Limits(cpu_s=cpu_s, memory_mb=memory_mb)
    found = _answered(asked, of, limits, workers, characters)
    made = 0
    for one in found:
        if isinstance(one, BadRow):
            yield one
            continue
        question, answer = one
        yield Problem(_prompt(question, of) + suffix, answer, "python_literal", source, domain, split, licence)
        made += 1
        if made == limit:
            return


def _asked(item: Item, of: str, columns: Mapping[str, str], entry: str) -> _Asked | BadRow:
    if isinstance(item, BadRow):
        return item
    where, row = item
    fields = {name: as_text(row.get(columns.get(name, name))) for name in ("code", "input", "entry", "stdin")}
    code = fields["code"]
    if not code.strip():
        return BadRow(where, f"'{columns.get('code', 'code')}' is missing or empty")
    if of == "print":
        return _Asked(where, code, fields["stdin"], "")
    if columns.get("input", "input") not in row:
        return BadRow(where, f"'{columns.get('input', 'input')}', the arguments of the call, is missing")
    name = fields["entry"] or entry
    if not name.isidentifier():
        return BadRow(where, f"'{name}' is no name of a function")
    return _Asked(where, code, fields["input"].strip(), name)


def _answered(asked: Iterator[_Asked | BadRow], of: str, limits: Limits, workers: int, characters: int
              ) -> Iterator[tuple[_Asked, str] | BadRow]:
    """Each program with its answer, a Python literal, or why it has none; in order."""
    with sandboxes(workers) as pool:
        while batch := list(islice(asked, BATCH)):
            work = chain.from_iterable(_work(one, of, limits) for one in batch if isinstance(one, _Asked))
            runs = iter(list(pool.run(work)))
            for one in batch:
                yield one if isinstance(one, BadRow) else _answer(one, of, [*next(runs), *next(runs)], characters)


def _work(one: _Asked, of: str, limits: Limits) -> list[Work]:
    """Twice as it is, once disturbed."""
    tail = "" if of == "print" else f"\n\ndef {_ENTRY}():\n    return {one.call}\n"
    test: Any = Stdin(one.given.encode("utf-8", "replace")) if of == "print" else Call(_ENTRY)
    return [Work(Program("python", one.code + tail), [test, test], limits),
            Work(Program("python", _DISTURBED + one.code + tail), [test], limits)]


def _answer(one: _Asked, of: str, runs: list[Run], characters: int) -> tuple[_Asked, str] | BadRow:
    for run in runs:
        if run.outcome != "ran":
            return BadRow(one.where, f"it does not run to its end: {run.outcome}, {run.reason}")
    values = [run.result if of == "return" else run.stdout.decode("utf-8", "replace").removesuffix("\n")
              for run in runs]
    if values[0] is OPAQUE:
        return BadRow(one.where, f"{one.call} returns something that is no plain value")
    if any(value != values[0] for value in values if value is not OPAQUE):
        return BadRow(one.where, "it is not deterministic: two runs gave different values")
    text = _written(values[0])
    if not _reads_back(text, values[0]):
        return BadRow(one.where, "its value cannot be written as a Python literal")
    if len(text) > characters:
        return BadRow(one.where, f"its value is {len(text)} characters long, over {characters}")
    return one, text


def _written(value: Any) -> str:
    """`repr` with sets in one order: the text is a part of the problem's id."""
    if isinstance(value, set) and value:
        return "{" + ", ".join(sorted(map(_written, value))) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_written, value)) + (",)" if len(value) == 1 else ")")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_written(key)}: {_written(held)}" for key, held in value.items()) + "}"
    return repr(value)


def _reads_back(text: str, value: Any) -> bool:
    try:
        return bool(literal_value(text) == value)
    except ValueError:
        return False


def _prompt(one: _Asked, of: str) -> str:
    if of == "return":
        return RETURNS.format(call=one.call, code=one.code.strip("\n"))
    given = f" when its input is {one.given!r}" if one.given else ""
    return PRINTS.format(given=given, code=one.code.strip("\n"))
