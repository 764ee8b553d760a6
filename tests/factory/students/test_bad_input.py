"""What can go wrong before and while a student is trained: one sentence each, and nothing lost."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the students need the extra [train]")
pytest.importorskip("trl")

from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from factory.protocols import UserError  # noqa: E402
from factory.students import _device, _estimate, _loop, _training, sft  # noqa: E402

Write = Callable[[list[dict[str, Any]]], Path]


def run(base: Path, dataset: Path, output: Path, **params: Any) -> dict[str, Any]:
    return sft.sft(base, dataset, output, threads=1, batch=16, **params)


# -- the base --------------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    return shutil.copytree(base, tmp_path / "copy")


def cut(base: Path) -> None:
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:weights.stat().st_size // 2])


def shard_missing(base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    (base / "model.safetensors").unlink()
    model.save_pretrained(base, max_shard_size="20KB")
    sorted(base.glob("model-*.safetensors"))[1].unlink()


def weight_missing(base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})


def config_cut(base: Path) -> None:
    (base / "config.json").write_text('{"archi')


def of_the_future(base: Path) -> None:
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "model_type": "qwen99"}))


def weight_broken(base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"].fill_(float("nan"))
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})


def no_template(base: Path) -> None:
    (base / "chat_template.jinja").unlink()


@pytest.mark.parametrize(("spoil", "says"), [
    (cut, r"download of .* is not complete: model.safetensors has [\d,]+ bytes"),
    (shard_missing, r"is not complete: 1 of \d+ weight files are missing \(the first is model-00002"),
    (weight_missing, r"lacks 1 of its weights \(the first is model.layers.1.mlp.up_proj.weight"),
    (config_cut, "does not open .*not a valid JSON file.* fetch it again"),
    (of_the_future, "does not open .*qwen99.* or install a transformers that knows it"),
    (weight_broken, r"has weights that are no numbers \(the first is model.norm.weight\): fetch it again"),
    (no_template, "has no chat template: add one"),
])
def test_a_base_that_is_not_whole_is_refused(copy: Path, sft_rows: list[Any], dataset: Write, tmp_path: Path,
                                             spoil: Callable[[Path], None], says: str) -> None:
    spoil(copy)
    with pytest.raises(UserError, match=says):
        run(copy, dataset(sft_rows), tmp_path / "out")
    assert not (tmp_path / "out" / "model").exists()


# -- the dataset -----------------------------------------------------------------------------------------------------


def test_rows_of_another_trainer_are_named_after_it(base: Path, dpo_rows: list[Any], dataset: Write, tmp_path: Path
                                                    ) -> None:
    with pytest.raises(UserError, match=r"no column 'messages' .* these rows are for the trainer 'dpo'"):
        run(base, dataset(dpo_rows), tmp_path / "out")


def test_a_dataset_that_is_not_there_is_not_looked_for_on_the_hub(
        base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.load_dataset", None)
    with pytest.raises(UserError, match=r"there is no dataset folder .*nowhere"):
        run(base, tmp_path / "nowhere", tmp_path / "out")


def test_a_row_beyond_the_models_context_is_counted_and_named_though_max_length_would_take_it(
        copy: Path, sft_rows: list[Any], dataset: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 512}))
    long = {**sft_rows[0], "trace_id": "long", "messages": [
        sft_rows[0]["messages"][0], {"role": "assistant", "content": "7" * 600}]}
    figures = run(copy, dataset([*sft_rows, long]), tmp_path / "out", epochs=0.5, max_length=4096)
    assert (figures["rows"], figures["rows_too_long"], figures["length_limit"]) == (48, 1, 512)
    assert figures["too_long"] == ["long"]
    assert "1 of 49 rows are longer than the model's context of 512 tokens" in capsys.readouterr().err


# -- the machine -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_gpu_that_is_demanded_and_not_there_is_said(base: Path, sft_rows: list[Any], dataset: Write, tmp_path: Path
                                                      ) -> None:
    with pytest.raises(UserError, match=r'demands a GPU .* set device = "auto"'):
        run(base, dataset(sft_rows), tmp_path / "out", device="cuda")


def test_weights_that_do_not_fit_are_refused_before_they_are_loaded(
        base: Path, sft_rows: list[Any], dataset: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_estimate, "parameters", lambda base: 7_000_000_000)
    monkeypatch.setattr(_device, "free_memory", lambda device: 48 * 2**30)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", None)
    with pytest.raises(UserError, match=r"needs about 78.2 GiB \(weights 26.1 GiB.* and 44.2 GiB are free, "
                                        "so it cannot start; it would fit with lora = 16"):
        run(base, dataset(sft_rows), tmp_path / "out")


def test_activations_that_do_not_fit_are_refused_with_what_would(
        base: Path, sft_rows: list[Any], dataset: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_estimate, "refuse_what_cannot_fit", lambda *_: None)
    monkeypatch.setattr(_device, "free_memory", lambda device: 2**20)
    with pytest.raises(UserError, match=r"it would fit with .*(max_length = \d+|lora = 16)"):
        run(base, dataset(sft_rows), tmp_path / "out", checkpointing=False)


def memory(activations: int) -> _estimate.Memory:
    return _estimate.Memory(1000, 1000, 2000, activations)


@pytest.mark.parametrize(("free", "chosen", "expected"), [
    (100_000, None, (400, False)), (30_000, None, (200, False)), (14_000, None, (400, True)),
    (100_000, True, (400, True))])
def test_the_plan_is_the_fastest_that_fits(free: int, chosen: bool | None, expected: tuple[int, bool]) -> None:
    _, tokens, checkpointing = _estimate.plan(memory(0), 100.0, 400, 100, 10, free, chosen, 0)
    assert (tokens, checkpointing) == expected


# -- the run ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def spoilt_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """The loss is no number from a step on."""
    def spoil(step: int) -> None:
        true = _loop.Supervised.loss
        monkeypatch.setattr(_loop.Supervised, "loss", lambda self, *given: true(self, *given) * (
            float("nan") if self.state.global_step >= step - 1 else 1))
    return spoil


def test_a_loss_that_becomes_no_number_stops_at_the_last_good_checkpoint(
        base: Path, sft_rows: list[Any], dataset: Write, tmp_path: Path, spoilt_at: Callable[[int], None]) -> None:
    output = tmp_path / "out"
    spoilt_at(4)
    with pytest.raises(UserError, match=r"loss is nan at step 4: lower .*the last good checkpoint is .*checkpoint-2$"):
        run(base, dataset(sft_rows), output, epochs=3, save_steps=2)
    kept = AutoModelForCausalLM.from_pretrained(output / "checkpoints" / "checkpoint-2")
    assert all(bool(p.isfinite().all()) for p in kept.parameters())
    assert not (output / "model").exists()


def test_weights_that_became_no_numbers_in_a_step_are_not_kept(
        base: Path, sft_rows: list[Any], dataset: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from factory.students import _muon

    true = _muon.Muon.step

    def step(self: Any, closure: Any = None) -> None:
        true(self, closure)
        self.steps = getattr(self, "steps", 0) + 1
        if self.steps == 4:
            self.param_groups[0]["params"][0].data.fill_(float("nan"))

    monkeypatch.setattr(_muon.Muon, "step", step)
    with pytest.raises(UserError, match=r"weights are no numbers after step 4: .* checkpoint is .*checkpoint-2$"):
        run(base, dataset(sft_rows), tmp_path / "out", epochs=3, save_steps=2)


# -- the disk --------------------------------------------------------------------------------------------------------


@pytest.fixture
def full_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """The disk is full from the n-th checkpoint on: a half-written file, then torch's error, which does not say so; and
    there is room again once that file is gone."""
    from trl import SFTTrainer

    true, saved, usage = SFTTrainer._save_checkpoint, list[int](), shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 0) if list(
        Path(folder).glob(".draft/*/model.safetensors")) else usage(folder))

    def fill(count: int) -> None:
        def save(self: Any, model: Any, trial: Any) -> None:
            saved.append(1)
            if len(saved) >= count:
                folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
                folder.mkdir(parents=True)
                (folder / "model.safetensors").write_bytes(b"half of i")
                raise RuntimeError("unexpected pos 64 vs 32")
            true(self, model, trial)
        monkeypatch.setattr(SFTTrainer, "_save_checkpoint", save)
    yield fill
    monkeypatch.setattr(SFTTrainer, "_save_checkpoint", true)


def test_a_full_disk_keeps_the_last_complete_checkpoint_and_the_run_goes_on_from_it(
        base: Path, sft_rows: list[Any], dataset: Write, tmp_path: Path, full_after: Callable[[int], None],
        monkeypatch: pytest.MonkeyPatch) -> None:
    folder, output = dataset(sft_rows), tmp_path / "out"
    full_after(2)
    with pytest.raises(UserError, match=r"is full: make room and run the same command again; the last complete"):
        run(base, folder, output, epochs=3, save_steps=2)
    assert [p.name for p in (output / "checkpoints").iterdir() if p.is_dir()] == ["checkpoint-2"]
    full_after(1000)
    assert run(base, folder, output, epochs=3, save_steps=2)["resumed_from_step"] == 2


def test_the_older_of_two_checkpoints_makes_room_for_the_next(
        base: Path, sft_rows: list[Any], dataset: Write, tmp_path: Path, full_after: Callable[[int], None]) -> None:
    output = tmp_path / "out"
    full_after(3)
    with pytest.raises(UserError, match="is full"):
        run(base, dataset(sft_rows), output, epochs=3, save_steps=2)
    assert [p.name for p in (output / "checkpoints").iterdir() if p.is_dir()] == ["checkpoint-4"]


def test_what_is_full_is_seen_through_each_librarys_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                              ) -> None:
    assert _training.is_full(OSError(28, "No space left on device"), tmp_path)
    assert _training.is_full(RuntimeError("I/O error: No space left on device (os error 28)"), tmp_path)
    assert not _training.is_full(RuntimeError("unexpected pos 64"), tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 0))
    assert _training.is_full(RuntimeError("unexpected pos 64"), tmp_path)
