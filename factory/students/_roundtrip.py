"""The round trip of rows through a student's chat template, in a process of its own: transformers lives here.

    python -m factory.students._roundtrip TOKENIZER TEMPLATE     (each a path; "" for none)

A line in is a JSON list of sides ({"messages": […], "first": the first message to learn from}); the line out is the
list of their faults, "" where the thinking comes through. The first line out is {} or {"error": a sentence}. What must
hold of each turn that is learnt from: the template renders its thinking and response, the loss mask covers both (the
template's own `generation` marks, else what follows the rendered prompt, as TRL masks), and what the mask covers is
read back as the same thinking and the same response.
"""

import contextlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from factory.protocols import UserError
from factory.students import _span
from factory.thoughts import split

Messages = Sequence[dict[str, Any]]
MARK = "SENTINEL"
NEAR = 256
"""Characters on each side of the place where the loss begins."""
NOT_A_PREFIX = "the rendered prompt is not how the rendered row begins, so the loss cannot be masked"


class Student:
    """A tokenizer with its chat template, and how it ends a turn."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.marks = bool(re.search(r"\{%-?\s*generation\s*-?%\}", tokenizer.get_chat_template()))
        ended = self.render([{"role": "user", "content": "?"}, {"role": "assistant", "content": MARK}])
        self.ending = ended.rpartition(MARK)[2] if MARK in ended else ""
        ordinary = {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id}
        self.unknown = tokenizer.unk_token_id if tokenizer.unk_token_id not in ordinary else None

    def render(self, messages: Messages) -> str:
        return _span.render(self.tokenizer, messages)

    def start(self, messages: Messages, turn: int, whole: str) -> int | None:
        """Where the text of a turn begins in the rendered row; None when the row does not begin like its prompt."""
        begin = "".join(_span.prompt(self.tokenizer, messages[:turn]))
        return len(begin) if whole.startswith(begin) else None

    def fault(self, side: dict[str, Any]) -> str:
        """What does not come through, or ""."""
        try:
            return self._fault(side["messages"], side["first"])
        except Exception as error:  # a template may raise what it likes, and says in it what it wants
            return f"the template refuses it: {str(error).strip().splitlines()[0] if str(error).strip() else error!r}"

    def _fault(self, messages: Messages, first: int) -> str:
        whole = self.render(messages)
        if self.unknown is not None and self.unknown in self.tokenizer(whole, add_special_tokens=False)["input_ids"]:
            return "the tokenizer has no token for a part of it"
        turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        spans = self._marked(messages) if self.marks else self._after_prompts(messages, turns, whole)
        if spans is None or len(spans) != len(turns):
            return NOT_A_PREFIX if not self.marks else f"the template marks {len(spans or ())} of {len(turns)} turns"
        faults = (self._turn_fault(messages[turn], whole, begin, end, turn == turns[-1])
                  for turn, (begin, end) in zip(turns, spans, strict=True) if turn >= first)
        return next((fault for fault in faults if fault), "")

    def _marked(self, messages: Messages) -> list[tuple[int, int]]:
        """Spans of characters whose tokens the template marks as generated, one a turn."""
        made = self.tokenizer.apply_chat_template(list(messages), return_dict=True, return_assistant_tokens_mask=True,
                                                  tokenizer_kwargs={"return_offsets_mapping": True})
        spans: list[tuple[int, int]] = []
        before = 0
        for inside, (begin, end) in zip(made["assistant_masks"], made["offset_mapping"], strict=True):
            if inside and before:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            elif inside:
                spans.append((begin, end))
            before = inside
        return spans

    def _after_prompts(self, messages: Messages, turns: Sequence[int], whole: str) -> list[tuple[int, int]] | None:
        """Spans of characters from the first token after each turn's prompt to the next turn's prompt."""
        found = [self.start(messages, turn, whole) for turn in turns]
        starts = [start for start in found if start is not None]
        if len(starts) < len(found):
            return None
        ends = [*starts[1:], len(whole)]
        return [(self._token_start(whole, begin, end), end) for begin, end in zip(starts, ends, strict=True)]

    def _token_start(self, whole: str, begin: int, end: int) -> int:
        """The first character of the first token that lies wholly after `begin`: one that straddles it is the prompt's.

        Only what is near is cut into tokens: the whole of a long trace would take all of the time.
        """
        left, right = max(0, begin - NEAR), min(end, begin + NEAR)
        encoded = self.tokenizer(whole[left:right], add_special_tokens=False)
        for place in range(begin - left, right - left):
            token = encoded.char_to_token(place)
            if token is not None and (first := encoded.token_to_chars(token).start) >= begin - left:
                return left + int(first)
        return end

    def _turn_fault(self, message: dict[str, Any], whole: str, begin: int, end: int, last: bool) -> str:
        told = message.get("reasoning_content") or message.get("thinking")
        thinking, response = wanted = split(message["content"] or "", told)
        covered = whole[begin:end]
        if any(split(text) == wanted for text in self._without_ending(covered, last)):
            return ""
        which = "" if last else " of an earlier turn"
        for name, text in (("thinking", thinking), ("response", response)):
            if text not in whole:
                head = text[:8] in whole
                return f"the template {'changes' if head else 'deletes'} the {name}{which}"
            if text not in covered:
                return f"the {name}{which} is not inside the loss mask"
        return f"the thinking{which} does not parse back equal"

    def _without_ending(self, text: str, last: bool) -> tuple[str, ...]:
        """What the turn may be: the mask covers its end, a part of it, or none; a turn in the middle is cut there."""
        end = self.ending.strip()
        if not last:
            return (text.partition(end)[0] if end else text,)
        return text.removesuffix(self.ending), text.rstrip().removesuffix(end), text


def open_student(tokenizer: str, template: str) -> Student:
    """Raises UserError when there is no tokenizer or no template."""
    made = _open_tokenizer(Path(tokenizer)) if tokenizer else _bytes_tokenizer()
    if template:
        made.chat_template = Path(template).read_text(encoding="utf-8")
    if not made.chat_template:
        raise UserError(f"the tokenizer in {tokenizer} has no chat template: set datasets.template to a template file "
                        'or to another model folder, or to "none" to check nothing')
    try:
        return Student(made)
    except Exception as error:  # Jinja's syntax errors, and what a template raises
        raise UserError(f"the chat template of {template or tokenizer} cannot render a question and an answer "
                        f"({str(error).splitlines()[0]}): mend it, or set datasets.template to another") from error


def _open_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # every kind of it, whichever file is missing or broken
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise UserError(f"there is no tokenizer in {folder} that opens ({said}): fetch the model again with its "
                        'tokenizer, or set datasets.template to another folder or file, or to "none"') from error


def _bytes_tokenizer() -> Any:
    """One token a byte: enough for a template file that comes without a model."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    plain = Tokenizer(models.BPE(alphabet, []))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    plain.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="", eos_token="")


def main(arguments: Sequence[str]) -> None:
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # what libraries print must not mix with the answers
        try:
            student = open_student(*arguments)
        except UserError as error:
            print(json.dumps({"error": str(error)}), file=out, flush=True)
            return
        print(json.dumps({}), file=out, flush=True)
        for line in sys.stdin:
            print(json.dumps([student.fault(side) for side in json.loads(line)]), file=out, flush=True)


if __name__ == "__main__":
    sys.modules["torch"] = None  # type: ignore[assignment]  # a tokenizer needs none of it, and it takes seconds
    main(sys.argv[1:])
