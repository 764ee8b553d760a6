"""A row in Alpaca's form, `instruction`, `input` and `output`, with the files that LLaMA-Factory reads it by."""

from collections.abc import Iterable, Mapping
from typing import Any

from factory.emitters import Thinking, asked, correct, text
from factory.emitters._llama_factory import files
from factory.records import Pick

VERSION = 1


def alpaca(pick: Pick, *, system: str = "", prefix: str = "", suffix: str = "", thinking: Thinking = "inline"
           ) -> dict[str, Any]:
    """The thinking stands in the text, or nowhere: this form has no field for it. Keys as in `sft`."""
    chosen = correct(pick, "alpaca")
    [question] = asked(pick, "", prefix, suffix)
    return {"instruction": question["content"], "input": "", "output": text(chosen, thinking), "system": system,
            "trace_id": chosen.trace_id, "problem_id": chosen.problem_id}


def extra_files(rows: Iterable[Mapping[str, Any]], name: str) -> dict[str, str]:
    columns = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}
    return files(name, {"formatting": "alpaca", "columns": columns})
