"""The plan and the figures of trainers on padded batches: what they will take, what they took."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the students need the extra [train]")
pytest.importorskip("trl")

from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification  # noqa: E402

from factory.protocols import UserError  # noqa: E402
from factory.students import (  # noqa: E402
    _device,
    _estimate,
    _plain,
    _training,
    grpo,
    kto,
    orpo,
    process_reward_model,
    reward_model,
)

Write = Callable[[list[dict[str, Any]]], Path]


def operations(weights: int, width: int, lengths: list[int]) -> float:
    """Of a forward pass."""
    return sum(2 * weights * length + 2 * width * length**2 for length in lengths)


def test_padding_is_not_counted_and_a_backward_pass_costs_two_forward_ones(base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    weights, width = sum(p.numel() for p in model.parameters()), 2 * 32  # layers × heads × their size; one table
    ids, mask = torch.ones(2, 5, dtype=torch.long), torch.tensor([[1] * 5, [1] * 3 + [0] * 2])
    meter = _plain.Meter(SimpleNamespace(model=model))
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
        meter, prompt = _plain.Meter(SimpleNamespace(model=model)), torch.ones(2, 4, dtype=torch.long)
        with torch.no_grad():
            if cached:
                model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=4, min_new_tokens=4)
            else:  # the token that comes last is never read
                model(torch.ones(2, 7, dtype=torch.long))
        model._forward_pre_hooks.clear()
        found.append(float(meter.flops))
    assert found[0] == found[1]


def test_a_table_that_is_not_the_head_takes_no_product(base: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    table = model.get_input_embeddings().weight.numel()
    assert _plain.Meter(SimpleNamespace(model=model)).weights == sum(p.numel() for p in model.parameters()) - table


TRAINERS = pytest.mark.parametrize("train", [
    kto.kto, orpo.orpo, grpo.grpo, reward_model.reward_model, process_reward_model.process_reward_model])


@TRAINERS
def test_weights_that_do_not_fit_are_refused_before_they_are_loaded(
        train: Any, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_estimate, "parameters", lambda *_: 7_000_000_000)
    monkeypatch.setattr(_device, "free_memory", lambda device: 48 * 2**30)
    with pytest.raises(UserError, match=r"needs about 104.3 GiB .* it would fit with a smaller base or a machine with"):
        train(base, tmp_path, tmp_path / "out")


def test_the_batch_that_would_fit_is_named(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    trainer = SimpleNamespace(model=AutoModelForCausalLM.from_pretrained(base), args=SimpleNamespace(bf16=False))
    work = _plain.Work([[(2, 60)] * 8] * 3)
    plan = _plain._plan(trainer, work, tmp_path, "cpu")
    assert capsys.readouterr().err.startswith("about ")
    assert json.loads((tmp_path / "plan.json").read_text()) == plan
    (tmp_path / "plan.json").unlink()
    monkeypatch.setattr(_plain, "_seconds", None)  # nothing of the size of a batch is tried before
    needed, kept = plan["estimate"], plan["estimate"]["activations"]
    half = needed["gradients"] + needed["optimiser"] + kept / 2
    monkeypatch.setattr(_device, "free_memory", lambda device: int(half / _estimate.SHARE) + 1000)
    with pytest.raises(UserError, match="it would fit with batch = 4"):
        _plain._plan(trainer, work, tmp_path, "cpu")
    monkeypatch.setattr(_device, "free_memory", lambda device: 0)
    with pytest.raises(UserError, match="it would fit with a lower max_length or a smaller base"):
        _plain._plan(trainer, work, tmp_path, "cpu")
    assert not (tmp_path / "plan.json").exists()


def test_what_is_tried_out_leaves_the_random_numbers_as_they_were(base: Path, tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    model.score.register_forward_pre_hook(lambda *_: torch.rand(1) and None)
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    _plain._plan(SimpleNamespace(model=model, args=SimpleNamespace(bf16=False)), _plain.Work([[(1, 9)]]), tmp_path,
                 "cpu")
    assert torch.rand(1) == wanted


def test_what_is_foretold_grows_with_the_work(base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    work = _plain.Work([[(2, 60)] * 8] * 3)
    assert (work.sizes, work.longest, work.texts) == ([960] * 3, 60, 16)
    plain, whole = (_plain._kept(model, replace(work, whole_logits=logits)) for logits in (False, True))
    assert whole - plain == pytest.approx(4 * model.config.vocab_size, rel=0.01), "a number for each token of it"
    assert _plain._seconds(model, replace(work, written=100_000)) > 10 * _plain._seconds(model, work)


def rows_for(plugin: str, pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Preference pairs in the form that a trainer takes."""
    if plugin == "kto":
        return [{"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
                for row in pairs for side in ("chosen", "rejected")]
    if plugin == "reward_model":
        return [{**row, "chosen": row["prompt"] + row["chosen"], "rejected": row["prompt"] + row["rejected"],
                 "rejected_id": row["trace_id"] + "-"} for row in pairs]
    if plugin == "process_reward_model":
        return [{"prompt": row["prompt"][0]["content"], "completions": ["1+1=2\n", "2*2=5\n"], "values": [1.0, 0.0],
                 "correct": False, "problem_id": row["problem_id"]} for row in pairs]
    if plugin == "grpo":
        return [{"prompt": row["prompt"], "verifier": "math_equal", "reference": "7"} for row in pairs]
    return pairs


@pytest.mark.slow
@TRAINERS
def test_a_run_that_is_cut_off_goes_on_to_the_same_losses_and_weights(
        train: Any, base: Path, dpo_rows: list[Any], dataset: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
        ) -> None:
    folder = dataset(rows_for(train.__name__, dpo_rows[:24]))
    params = {"threads": 1, "batch": 8, "save_steps": 1, "epochs": 2,
              **({"max_tokens": 8, "group": 2} if train is grpo.grpo else {})}

    def cut(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_training.Watch, "on_save", cut)
        with pytest.raises(KeyboardInterrupt):
            train(base, folder, tmp_path / "cut", **params)
    cut_off, whole = (train(base, folder, tmp_path / name, **params) for name in ("cut", "whole"))
    assert (cut_off["resumed_from_step"], whole["resumed_from_step"]) == (1, 0)
    assert cut_off["points"] == whole["points"]
    assert cut_off["trained_tokens"] == pytest.approx(whole["trained_tokens"], rel=0.25)
    assert cut_off["estimated_memory"] > 0, "the plan is that of the first start"
    one, other = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("cut", "whole"))
    assert one == other
