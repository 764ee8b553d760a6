"""A tiny base that has just begun to learn, and datasets as the emitters write them."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def recipe() -> Any:
    pretrain = pytest.importorskip("factory.students.pretrain", reason="the students need the extra [train]")
    return pretrain.PretrainRecipe(tokens=20_000, hidden=32, layers=2, heads=1, kv_heads=1, intermediate=64,
                                   levels=(1,))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, recipe: Any) -> Path:
    import torch

    from factory.students import pretrain

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("base")
    tokenizer = pretrain.build_tokenizer(recipe)
    model = pretrain.build_model(recipe, tokenizer)
    pretrain.fit(model, tokenizer, recipe)
    pretrain.save(model, tokenizer, folder)
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    """Writes rows as a dataset folder."""
    def write(rows: list[dict[str, Any]]) -> Path:
        folder = tmp_path / "dataset"
        folder.mkdir()
        (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder
    return write


@pytest.fixture(scope="session")
def traces(recipe: Any) -> list[tuple[str, str]]:
    from factory.students.pretrain import conversations

    return list(itertools.islice(conversations(recipe, seed=5), 48))


@pytest.fixture(scope="session")
def sft_rows(traces: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": trace}],
             "trace_id": f"t{i}", "problem_id": f"p{i}"} for i, (prompt, trace) in enumerate(traces)]


@pytest.fixture(scope="session")
def dpo_rows(traces: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """The right trace over one whose answer is another."""
    return [{"prompt": [{"role": "user", "content": prompt}], "chosen": [{"role": "assistant", "content": trace}],
             "rejected": [{"role": "assistant", "content": trace.replace("boxed{", "boxed{7")}],
             "trace_id": f"t{i}", "problem_id": f"p{i}"} for i, (prompt, trace) in enumerate(traces)]
