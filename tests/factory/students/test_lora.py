"""LoRA: few weights trained, merged at the end, the adapter beside the model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the students need the extra [train]")
pytest.importorskip("trl")
peft = pytest.importorskip("peft", reason="LoRA needs the extra [train]")

from transformers import AutoModelForCausalLM  # noqa: E402

from factory.students import dpo, sft  # noqa: E402

Write = Callable[[list[dict[str, Any]]], Path]


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_the_adapter_is_merged_into_a_model_that_opens_and_kept_beside_it(
        base: Path, sft_rows: list[Any], dpo_rows: list[Any], dataset: Write, tmp_path: Path, kind: str) -> None:
    output, common = tmp_path / "out", {"lora": 4, "batch": 16, "threads": 1, "learning_rate": 1e-2}
    figures = (sft.sft(base, dataset(sft_rows), output, epochs=2, **common) if kind == "sft" else
               dpo.dpo(base, dataset(dpo_rows), output, epochs=2, **common))
    before, merged = (AutoModelForCausalLM.from_pretrained(folder) for folder in (base, output / "model"))
    assert {n for n, _ in merged.named_parameters()} == {n for n, _ in before.named_parameters()}
    adapted = peft.PeftModel.from_pretrained(before, output / "adapter")
    ids = torch.arange(3, 40)[None]
    torch.testing.assert_close(merged(ids).logits, adapted(ids).logits, rtol=1e-3, atol=1e-4)
    with adapted.disable_adapter():
        assert not torch.allclose(merged(ids).logits, adapted(ids).logits, atol=1e-2)
    assert figures["estimate"]["gradients"] < figures["estimate"]["weights"]
    if kind == "dpo":
        assert figures["margin_accuracy"] > 0.5
