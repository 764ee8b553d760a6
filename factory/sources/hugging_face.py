"""Problems from any dataset that `datasets.load_dataset` opens: a name on the Hub, or a local folder of data files.

Streamed unless told otherwise, so a `limit` downloads little. Its readers, unlike `jsonl`, stop at a malformed file.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from factory.columns import Item, Shape, problems
from factory.protocols import BadRow, UserError
from factory.records import Problem


def hugging_face(
    *,
    dataset: str,
    name: str | None = None,
    hf_split: str = "train",
    streaming: bool = True,
    revision: str | None = None,
    columns: Mapping[str, str] = {},
    verifier: str = "math_equal",
    split: str = "train",
    source: str = "",
    licence: str = "",
    domain: str = "",
    limit: int | None = None,
    prefix: str = "",
    suffix: str = "",
    meta: Sequence[str] = (),
    reference_after: str = "",
) -> Iterator[Problem | BadRow]:
    """Keys: `name` (the configuration), `hf_split` (the split to read; `split` is ours), `revision` (pin a commit for
    the same rows tomorrow), `streaming`, and those of `jsonl`. A licence that neither the recipe nor a column states is
    that of the dataset's card."""
    rows = _open(dataset, name, hf_split, streaming, revision)
    if not licence and hasattr(rows, "column_names") and "licence" not in {*columns, *(rows.column_names or ())}:
        licence = _licence(dataset, revision)
    shape = Shape(columns=columns, verifier=verifier, split=split, source=source, licence=licence, domain=domain,
                  limit=limit, prefix=prefix, suffix=suffix, meta=meta, reference_after=reference_after)
    return problems(f"the dataset {dataset}", _rows(dataset, rows), shape)


def read(dataset: str, name: str | None, split: str, streaming: bool, revision: str | None) -> Iterator[Item]:
    """Where each row stands with the row; see `hugging_face`."""
    return _rows(dataset, _open(dataset, name, split, streaming, revision))


def _open(dataset: str, name: str | None, split: str, streaming: bool, revision: str | None) -> Iterable[Any]:
    """`dataset` may also be files (`hf://…/*.jsonl`): what has a loading script on the hub opens no other way."""
    import datasets

    if Path(dataset).is_file():  # the library looks for a folder only, and would say that it finds no data
        raise UserError(f"{dataset} is a file: give its folder, or use the source jsonl, csv_file or parquet")
    try:
        rows: Iterable[Any] = (
            datasets.load_dataset("json", data_files=_pinned(dataset, revision), split="train", streaming=streaming)
            if dataset.endswith(".jsonl") else
            datasets.load_dataset(dataset, name, split=split, streaming=streaming, revision=revision))
    except Exception as error:  # offline, unknown, gated, no such split: the library raises a dozen kinds
        raise UserError(f"the dataset '{dataset}' cannot be opened ({_short(error)}): check `dataset`, `name`, "
                        "`hf_split` and the network, and log in with `hf auth login` if it is gated") from error
    return rows


def _pinned(files: str, revision: str | None) -> str:
    """`hf://datasets/owner/name@REVISION/…`. Raises UserError where a revision has no place."""
    pinned, count = re.subn(r"^(hf://datasets/[^/@]+/[^/@]+)(?=/)", rf"\1@{quote(revision or '', safe='')}", files)
    if revision and not count:
        raise UserError(f"{files} has no revisions: name hf://datasets/OWNER/NAME/FILE, or leave `revision` out")
    return pinned if revision else files


def _licence(dataset: str, revision: str | None) -> str:
    """What the card says, "" where there is none or it cannot be had: the recipe can say it, too."""
    from huggingface_hub import DatasetCard, hf_hub_download

    try:
        there = Path(dataset) / "README.md" if Path(dataset).is_dir() else hf_hub_download(
            dataset, "README.md", repo_type="dataset", revision=revision)
        said = DatasetCard.load(there).data.to_dict().get("license")
    except Exception:  # offline, gated, no card, no YAML in it: the library raises a dozen kinds
        return ""
    return ", ".join(map(str, said)) if isinstance(said, list) else str(said or "")


def _rows(dataset: str, rows: Iterable[Any]) -> Iterator[Item]:
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            yield f"{dataset} row {number}", row
    except Exception as error:  # an end here would pass for the end of the data
        raise UserError(f"the dataset '{dataset}' broke off after row {number} ({_short(error)}): "
                        "run again, or set a `limit` to stop before it") from error


def _short(error: Exception) -> str:
    return (str(error).partition("\n")[0].strip().rstrip(".") or type(error).__name__)[:300]
