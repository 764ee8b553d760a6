"""Does a row survive the student's chat template? Many templates delete or rewrite thinking, and nobody notices.

`template_of` says whose template counts for a dataset, `sides` what of a row is learnt from, and `Checker` asks a child
process, where transformers lives (`factory.students._roundtrip`), what is wrong with each.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from factory.child import Child
from factory.protocols import UserError
from factory.recipe import DatasetSpec, Recipe
from factory.records import Message

NONE = "none"
FILES = ("tokenizer*", "chat_template*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt")
SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}

Side = dict[str, Any]
"""`messages`, and `first`: the index of the first one that may be learnt from."""


@dataclass(frozen=True)
class Template:
    """A chat template: that of a model's `folder`, or a `file`'s, with the tokenizer of `folder` where there is one."""

    folder: Path | None
    file: Path | None

    def __str__(self) -> str:
        return str(self.file or self.folder)

    @property
    def digest(self) -> str:
        """Hash of the files that determine what it renders and how that is cut into tokens."""
        found = [path for pattern in FILES for path in self.folder.glob(pattern)] if self.folder else []
        whole = hashlib.sha256()
        for path in sorted({*found, *([self.file] if self.file else [])}):
            whole.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        return whole.hexdigest()[:32]


def template_of(recipe: Recipe, spec: DatasetSpec) -> Template | None:
    """Whose template the rows must survive; None: nobody's. Raises UserError when it is not there."""
    base = _base(recipe, spec)
    if spec.template == NONE or not (spec.template or base):
        return None
    if find_spec("transformers") is None:
        raise UserError(f"the dataset '{spec.name}' is to be checked with a chat template, which needs the package "
                        'transformers: pip install "cot-factory[train]", or set its template to "none"')
    path = Path(spec.template) if spec.template else base
    assert path is not None
    if path.is_file():
        return Template(base if base and base.is_dir() else None, path)
    if path.is_dir() and any(path.glob("tokenizer*")):
        return Template(path, None)
    where = f"the template '{path}' of the dataset" if spec.template else f"the base '{path}' of the student on"
    raise UserError(f"{where} '{spec.name}' is {'a folder without a tokenizer' if path.is_dir() else 'not there'}: set "
                    'datasets.template to a model folder or a template file, or to "none" to check nothing')


def _base(recipe: Recipe, spec: DatasetSpec) -> Path | None:
    """The model folder that the first student on this dataset starts from, through the students before it.

    A private trainer may take a base without a tokenizer, which has no template to check with then.
    """
    bases = {student.name: student.base for student in recipe.students}
    student = next((student for student in recipe.students if student.dataset == spec.name), None)
    base = student.base if student else None
    while base in bases and bases[base] != base:
        base = bases.pop(base)
    if student and base and "." in student.trainer.plugin and not any(Path(base).glob("tokenizer*")):
        return None
    return Path(base) if base else None


def sides(row: Mapping[str, Any]) -> list[Side]:
    """The conversations of an emitted row; none when it is no conversation (a text, a prompt alone)."""
    if isinstance(row.get("messages"), list):
        return [{"messages": row["messages"], "first": 0}]
    if isinstance(row.get("conversations"), list):
        return [{"messages": [_message(turn) for turn in row["conversations"]], "first": 0}]
    if isinstance(row.get("instruction"), str):
        asked: list[Message] = [{"role": "user", "content": row["instruction"]}]
        return [_side(asked, [{"role": "assistant", "content": row[name]}])
                for name in ("output", "chosen", "rejected") if isinstance(row.get(name), str)]
    answers = [row[name] for name in ("chosen", "rejected", "completion") if isinstance(row.get(name), list)]
    if "prompt" not in row:  # each answer is a whole conversation
        return [_side(answer[:-1], answer[-1:]) for answer in answers]
    return [_side(row["prompt"], answer) for answer in answers if isinstance(row["prompt"], list)]


def _side(prompt: Sequence[Message], answer: Sequence[Message]) -> Side:
    """An answer that goes on with a turn which the prompt began is one turn with it."""
    if prompt and answer and prompt[-1]["role"] == answer[0]["role"] == "assistant":
        whole = {**answer[0], "content": prompt[-1]["content"] + answer[0]["content"]}
        return {"messages": [*prompt[:-1], whole, *answer[1:]], "first": len(prompt) - 1}
    return {"messages": [*prompt, *answer], "first": len(prompt)}


def _message(turn: Mapping[str, str]) -> Message:
    """A turn of ShareGPT's form."""
    return {"role": SPEAKERS.get(turn["from"], turn["from"]), "content": turn["value"]}


class Checker:
    """What asks a child process that renders rows; made by `checking`."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def faults(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """What is wrong with each row, "" for nothing; of a preference row both sides count."""
        pairs = [(number, side) for number, row in enumerate(rows) for side in sides(row)]
        found = [""] * len(rows)
        for (number, _), fault in zip(pairs, self._child.ask([side for _, side in pairs]), strict=True):
            found[number] = found[number] or fault
        return found


@contextlib.contextmanager
def checking(template: Template) -> Iterator[Checker]:
    """A checker for as long as it is needed. Raises UserError when the tokenizer or the template does not open."""
    paths = [str(path.resolve()) if path else "" for path in (template.folder, template.file)]
    child = Child("factory.students._roundtrip", paths, "the check of chat templates failed",
                  f'set datasets.template = "{NONE}" to check nothing')
    with contextlib.closing(child):
        yield Checker(child)
