"""The plan and the figures of trainers on padded batches: what they will take, what they took."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the students need the extra [train]")
pytest.importorskip("trl")

from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification  # noqa: E402

from factory.protocols import UserError  # noqa: E402
from factory.students import _device, _estimate, _plain, grpo, kto, orpo, process_reward_model, reward_model  # noqa: E402

Write = Callable[[list[dict[str, Any]]], Path]


def operations(weights: int, width: int, lengths: list[int]) -> float:
    """Of a forward pass."""
    return sum(2 * weights * length + 2 * width * length**2 for length in lengths)


def test_padding_is_not_counted_and_a_backward_pass_costs_two_forward_ones(base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    weights, width = sum(p.numel() for p in model.parameters()), 2 * 32  # layers × heads × their size; one table
    ids, mask = torch.ones(2, 5, dtype=torch.long), torch.tensor([[1] * 5, [1] * 3 + [0] * 2])
    meter = _plain.Meter(model)
    model(input_ids=ids, attention_mask=mask)
    assert int(meter.tokens) == 8
    assert float(meter.flops) == 3 * operations(weights, width, [5, 3])
    with torch.no_grad():
        model(ids)
    assert (int(meter.tokens), float(meter.flops)) == (
        8, 3 * operations(weights, width, [5, 3]) + operations(weights, width, [5, 5]))


def test_what_is_written_with_a_cache_costs_what_it_does_without(base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base).eval()
    found = []
    for cached in (False, True):
        meter, prompt = _plain.Meter(model), torch.ones(2, 4, dtype=torch.long)
        with torch.no_grad():
            if cached:
                model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=4, min_new_tokens=4)
            else:  # the token that comes last is never read
                model(torch.ones(2, 7, dtype=torch.long))
        meter.hook.remove()
        found.append(float(meter.flops))
    assert found[0] == found[1]


def test_a_table_that_is_not_the_head_takes_no_product(base: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    table = model.get_input_embeddings().weight.numel()
    assert _plain.Meter(model).weights == sum(p.numel() for p in model.parameters()) - table


TRAINERS = pytest.mark.parametrize("train", [
    kto.kto, orpo.orpo, grpo.grpo, reward_model.reward_model, process_reward_model.process_reward_model])


@TRAINERS
def test_weights_that_do_not_fit_are_refused_before_they_are_loaded(
        train: Any, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_estimate, "parameters", lambda base: 7_000_000_000)
    monkeypatch.setattr(_device, "free_memory", lambda device: 48 * 2**30)
    with pytest.raises(UserError, match=r"needs about 104.3 GiB .* it would fit with a smaller base or a machine with"):
        train(base, tmp_path, tmp_path / "out")


def test_the_batch_that_would_fit_is_named(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    trainer = SimpleNamespace(model=AutoModelForCausalLM.from_pretrained(base))
    plan = _plain._plan(trainer, [[(2, 60)] * 8] * 3, tmp_path, "cpu", 1.0, 0)
    assert capsys.readouterr().err.startswith("about ")
    assert plan["estimated_seconds"] >= 0
    assert json.loads((tmp_path / "plan.json").read_text()) == plan
    (tmp_path / "plan.json").unlink()
    needed, kept = plan["estimate"], plan["estimate"]["activations"]
    half = needed["gradients"] + needed["optimiser"] + kept / 2
    monkeypatch.setattr(_device, "free_memory", lambda device: int(half / _estimate.SHARE) + 1000)
    with pytest.raises(UserError, match="it would fit with batch = 4"):
        _plain._plan(trainer, [[(2, 60)] * 8] * 3, tmp_path, "cpu", 1.0, 0)
    monkeypatch.setattr(_device, "free_memory", lambda device: 0)
    with pytest.raises(UserError, match="it would fit with a lower max_length or a smaller base"):
        _plain._plan(trainer, [[(2, 60)] * 8] * 3, tmp_path, "cpu", 1.0, 0)
    assert not (tmp_path / "plan.json").exists()
