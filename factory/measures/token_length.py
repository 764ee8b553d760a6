"""How many tokens a trace is in a tokenizer of your choice, such as the student's: `tokens` has the teacher's count.

Counted by `fastokens`, which reads the same tokenizer.json some fifty times quicker; by `tokenizers`, whose numbers
they are, where it is not installed, cannot read the file or does not agree on a text that has something of everything.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from factory.records import Problem, Trace

VERSION = 1
NEEDS = ("tokenizers",)

_EVERYTHING = (
    "<think>\nLet's see: it's 3.14159 × 10^23, don't they'LL?  Wait…\r\n\r\n\tdef f(x):\n        return x**2 # 12345678"
    "\n\\frac{1}{2} + \\boxed{-7,5} ≈ ½ — “quoted” naïve cafe\u0301 é ﬁ Ａ１ ②  \u00a0\u3000思考一下，再检查。"
    "ひらがな 한국어 עברית العربية हिन्दी ไทย 🙂👩‍👧\n</think>   <|im_start|>assistant<|im_end|> "
    "<|endoftext|><s>[INST]</s>\u200b\ufeff\u0000x\u2028y\x85z      ")


def token_length(problem: Problem, trace: Trace, *, tokenizer: str,
                 of: Literal["raw", "thinking", "response"] = "raw") -> float:
    """`tokenizer`: a model folder, a tokenizer.json, or a name on the Hugging Face hub. Special tokens not added."""
    return float(_counter(tokenizer)(getattr(trace.completion, of)))


@cache
def _counter(name: str) -> Callable[[str], int]:
    slow = _load(name)
    slow.no_truncation()  # what its file may ask for would be taken for the length
    slow.no_padding()

    def count(text: str) -> int:
        return len(slow.encode(text, add_special_tokens=False))
    quick = _quick(slow.to_str())
    return quick if quick and quick(_EVERYTHING) == count(_EVERYTHING) else count


def _quick(definition: str) -> Callable[[str], int] | None:
    """None where fastokens is missing or cannot read the tokenizer."""
    try:
        tokenizer = import_module("fastokens").Tokenizer.from_json_str(definition)
        tokenizer.encode(_EVERYTHING, False)
    except Exception:  # it raises bare Exceptions
        return None
    return lambda text: len(tokenizer.encode(text, False))


@cache
def _load(name: str) -> Any:
    from tokenizers import Tokenizer

    path = Path(name).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        return Tokenizer.from_file(str(file)) if path.exists() else Tokenizer.from_pretrained(name)
    except Exception as error:  # it raises bare Exceptions
        raise ValueError(f"there is no tokenizer '{name}': name a folder with tokenizer.json, such a file, or a model "
                         f"of the hub that can be reached ({str(error).splitlines()[0]})") from error
