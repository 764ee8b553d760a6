"""How many tokens a trace is in a tokenizer of your choice, such as the student's: `tokens` has the teacher's count."""

from functools import cache
from pathlib import Path
from typing import Any, Literal

from factory.records import Problem, Trace

VERSION = 1
NEEDS = ("tokenizers",)


def token_length(problem: Problem, trace: Trace, *, tokenizer: str,
                 of: Literal["raw", "thinking", "response"] = "raw") -> float:
    """`tokenizer`: a model folder, a tokenizer.json, or a name on the Hugging Face hub. Special tokens not added."""
    return float(len(_load(tokenizer).encode(getattr(trace.completion, of), add_special_tokens=False)))


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
