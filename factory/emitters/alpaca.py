"""A row in Alpaca's form, `instruction`, `input` and `output`, with the files that LLaMA-Factory reads it by.

With `ranking` a row has `chosen` and `rejected` in place of `output`, which LLaMA-Factory trains DPO from.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from factory.emitters import Thinking, asked, correct, other_side, text
from factory.emitters._llama_factory import files
from factory.records import Pick

VERSION = 1


def alpaca(pick: Pick, *, system: str = "", prefix: str = "", suffix: str = "", thinking: Thinking = "inline",
           ranking: bool = False) -> dict[str, Any]:
    """The thinking stands in the text, or nowhere: this form has no field for it. Keys as in `sft`."""
    [question] = asked(pick, "", prefix, suffix)
    head = {"instruction": question["content"], "input": ""}
    ids = {"system": system, "trace_id": pick.chosen.trace_id, "problem_id": pick.chosen.problem_id}
    if not ranking:
        return {**head, "output": text(correct(pick, "alpaca"), thinking), **ids}
    rejected = other_side(pick, "alpaca")
    return {**head, "chosen": text(pick.chosen, thinking), "rejected": text(rejected, thinking), **ids,
            "rejected_id": rejected.trace_id}


def extra_files(rows: Iterable[Mapping[str, Any]], name: str) -> dict[str, str]:
    columns = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}
    if "chosen" not in next(iter(rows), {}):
        return files(name, {"formatting": "alpaca", "columns": columns})
    del columns["response"]
    columns |= {"chosen": "chosen", "rejected": "rejected"}
    return files(name, {"formatting": "alpaca", "ranking": True, "columns": columns}, "dpo")
