"""A row in ShareGPT's form, `conversations` of `from` and `value`, with the files that LLaMA-Factory reads it by."""

from collections.abc import Iterable, Mapping
from typing import Any

from factory.emitters import Thinking, asked, correct, text
from factory.emitters._llama_factory import files
from factory.records import Pick

VERSION = 1


def sharegpt(pick: Pick, *, system: str = "", prefix: str = "", suffix: str = "", thinking: Thinking = "inline"
             ) -> dict[str, Any]:
    """The thinking stands in the text, or nowhere: this form has no field for it. Keys as in `sft`."""
    chosen = correct(pick, "sharegpt")
    [question] = asked(pick, "", prefix, suffix)
    return {"conversations": [{"from": "human", "value": question["content"]},
                              {"from": "gpt", "value": text(chosen, thinking)}],
            "system": system, "trace_id": chosen.trace_id, "problem_id": chosen.problem_id}


def extra_files(rows: Iterable[Mapping[str, Any]], name: str) -> dict[str, str]:
    return files(name, {"formatting": "sharegpt", "columns": {"messages": "conversations", "system": "system"}})
