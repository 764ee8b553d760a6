"""A training run, whichever the trainer: TRL's checkpoints, a model that is complete or absent, figures.

    output/run.json       the settings it was begun with: another run is not mixed into this one
    output/checkpoints/   TRL's own; a killed run goes on from the last complete one
    output/model/         renamed into place once all of it is written
    output/figures.json   written last: with it and the model there is nothing left to do
"""

import contextlib
import errno
import json
import math
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import constants
from tqdm import tqdm
from transformers import ProgressCallback

from factory.protocols import UserError
from factory.students import _several

Row = dict[str, Any]
TOKENIZER_FILES = re.compile(r"(tokenizer|vocab|merges|special_tokens|added_tokens|chat_template|additional_chat).*")

constants.HF_HUB_DISABLE_TELEMETRY = True  # TRL would report every run to its authors; the variable is read too early
transformers.logging.disable_progress_bar()


# -- the run ---------------------------------------------------------------------------------------------------------


def finished(output: Path) -> Row | None:
    """The figures of a run that needs nothing more."""
    figures = output / "figures.json"
    if not (figures.is_file() and (output / "model").is_dir()):
        return None
    found: Row = json.loads(figures.read_text())
    return found


def noted(plugin: str, version: int, given: Mapping[str, Any]) -> Row:
    """The settings of a run that must be the same when it goes on, out of its function's arguments."""
    return {**{key: value for key, value in given.items() if key not in ("output", "threads", "save_steps")},
            "plugin": plugin, "version": version}


def begin(output: Path, settings: Mapping[str, Any], threads: int) -> None:
    """Make the folder, or check that what is in it was begun with the same settings."""
    torch.set_num_threads(threads or os.cpu_count() or 1)
    transformers.set_seed(settings["seed"])
    (output / "checkpoints").mkdir(parents=True, exist_ok=True)
    mine = {k: str(v) if isinstance(v, Path) else v for k, v in settings.items()}
    noted = json.loads((output / "run.json").read_text()) if (output / "run.json").is_file() else mine
    for key in mine:
        if noted.get(key) != mine[key]:
            raise UserError(f"{output} holds an unfinished run with {key} = {noted.get(key)}, not {mine[key]}: use "
                            "another output folder, or delete that one")
    write_json(output / "run.json", mine)


def arguments(output: Path, steps: int, save_steps: int, seed: int, device: str | None = None) -> Row:
    """The training arguments that all trainers share. Every step is logged: a resumed run shows the same losses."""
    cuda = device == "cuda" or (device is None and torch.cuda.is_available())
    return {
        "output_dir": str(output / "checkpoints"), "save_strategy": "steps", "save_steps": save_steps,
        "max_steps": steps, "train_sampling_strategy": "sequential", "seed": seed, "logging_steps": 1,
        "logging_nan_inf_filter": False, "report_to": [], "use_cpu": not cuda, "dataloader_pin_memory": cuda,
        "optim": "adamw_torch_fused", "weight_decay": 0.01, "adam_beta2": 0.95, "gradient_checkpointing": False,
        "max_length": None,
    }


class Watch(ProgressCallback):  # type: ignore[misc]  # transformers is untyped here
    """A bar on stderr that shows the loss instead of printing it, and an end to a run whose loss is no number."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.training_bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", mininterval=2)
        self.current_step = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Before the step's checkpoint would be written: what is kept is good."""
        if (loss := (logs or {}).get("loss")) is None:
            return  # the summary at the end
        for name, value in (("loss", loss), ("gradient", logs.get("grad_norm", 0.0))):
            if not math.isfinite(value):
                raise UserError(f"the {name} is {value} at step {state.global_step}: lower learning_rate (it is "
                                f"{args.learning_rate}), or look for broken weights in the base"
                                f"{_kept(Path(args.output_dir))}")
        self.training_bar.set_postfix(loss=f"{loss:.3f}", refresh=False)


def _kept(checkpoints: Path) -> str:
    last = last_complete(checkpoints)
    return f"; the last good checkpoint is {last}" if last else ""


def train(trainer: Any) -> Row:
    """Train from the last complete checkpoint, or from the start. Returns the figures that every run has."""
    trainer.remove_callback(ProgressCallback)
    watch = Watch()
    trainer.add_callback(watch)
    trainer._save_checkpoint = partial(_checkpoint, trainer, trainer._save_checkpoint)
    checkpoint = last_complete(Path(trainer.args.output_dir))
    try:
        done = trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    except RuntimeError as error:
        if not re.search("probability tensor contains|device-side assert", str(error)):  # a CPU's words and a GPU's
            raise
        raise UserError(f"the model has no probabilities to sample from after step {trainer.state.global_step}: lower "
                        f"learning_rate (it is {trainer.args.learning_rate}){_kept(Path(trainer.args.output_dir))}"
                        ) from error
    finally:
        if watch.training_bar:  # or what is said next stands on the bar's line
            watch.training_bar.close()
    points = [[p["step"], p["loss"]] for p in trainer.state.log_history if "loss" in p]
    return {"steps": trainer.state.global_step, "resumed_from_step": _step(checkpoint) if checkpoint else 0,
            "seconds": round(done.metrics["train_runtime"], 1), "first_loss": _edge(points),
            "last_loss": _edge(points[::-1]), "points": thinned(points), "versions": versions()}


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in (
        "torch", "transformers", "trl", "accelerate")}}


def thinned(points: Sequence[Sequence[float]]) -> list[list[float]]:
    """At most about 60 points: each the last step of a stretch and the mean over it."""
    width = max(1, math.ceil(len(points) / 60))
    parts = (points[i:i + width] for i in range(0, len(points), width))
    return [[int(part[-1][0]), round(sum(loss for _, loss in part) / len(part), 5)] for part in parts]


def _edge(points: Sequence[Sequence[float]]) -> float:
    """The mean of the first eighth: batches are of rows of like length, so one alone says little."""
    part = [loss for _, loss in points[:math.ceil(len(points) / 8)]]
    return round(sum(part) / len(part), 5)


# -- checkpoints: complete or absent ---------------------------------------------------------------------------------


def _checkpoint(trainer: Any, save: Callable[[Any, Any], None], model: Any, trial: Any) -> None:
    """TRL's own, written under a hidden name, synced and renamed. On a full disk the oldest one makes room."""
    if not all(bool(p.isfinite().all()) for p in model.parameters()):
        raise UserError(f"the weights are no numbers after step {trainer.state.global_step}: lower learning_rate "
                        f"(it is {trainer.args.learning_rate}){_kept(Path(trainer.args.output_dir))}")
    folder = Path(trainer.args.output_dir)
    with out_of_space(folder, "the last complete checkpoint is kept, and the same command goes on from there"):
        try:
            _write_checkpoint(trainer, save, model, trial, folder)
        except Exception as error:
            if not is_full(error, folder) or not trainer.args.should_save or len(_complete(folder)) < 2:
                raise
            shutil.rmtree(_complete(folder)[0])
            _write_checkpoint(trainer, save, model, trial, folder)


def _write_checkpoint(trainer: Any, save: Callable[[Any, Any], None], model: Any, trial: Any, folder: Path) -> None:
    draft, name = folder / ".draft", f"checkpoint-{trainer.state.global_step}"
    trainer._get_output_dir = lambda trial: str(draft)
    try:
        with _told_while_there(folder):
            save(model, trial)
        trainer.accelerator.wait_for_everyone()
        if trainer.args.should_save:
            _sync(path for path in draft.rglob("*") if path.is_file())
            shutil.rmtree(folder / name, ignore_errors=True)
            (draft / name).rename(folder / name)
            for old in _complete(folder)[:-2]:
                shutil.rmtree(old)
    finally:
        del trainer._get_output_dir
        if trainer.args.should_save:
            shutil.rmtree(draft, ignore_errors=True)


def last_complete(checkpoints: Path) -> Path | None:
    """The newest checkpoint that was written to its end; a half-written one is removed."""
    shutil.rmtree(checkpoints / ".draft", ignore_errors=True)
    for folder in reversed(_complete(checkpoints)):
        try:
            json.loads((folder / "trainer_state.json").read_text())  # transformers writes this file last
            return folder
        except (OSError, ValueError):
            shutil.rmtree(folder)
    return None


def _complete(checkpoints: Path) -> list[Path]:
    return sorted(checkpoints.glob("checkpoint-*"), key=_step)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def is_full(error: BaseException, folder: Path) -> bool:
    """Whether a write failed for want of space: torch and safetensors say so in their own words, or not at all."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left" in str(error) or shutil.disk_usage(folder).free < 2**20


@contextlib.contextmanager
def _told_while_there(folder: Path) -> Iterator[None]:
    """Say that the disk is full before what was half written is removed and it is no more."""
    try:
        yield
    except Exception as error:
        if is_full(error, folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


@contextlib.contextmanager
def out_of_space(folder: Path, kept: str) -> Iterator[None]:
    """A write that fails because the disk is full is one sentence; `kept` says what is not lost."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not is_full(error, folder):
            raise
        raise UserError(f"the disk that holds {folder} is full: make room and run the same command again; {kept}"
                        ) from error


# -- what comes out --------------------------------------------------------------------------------------------------


def finish(model: Any, tokenizer: Any, base: Path, output: Path, figures: Row, state: Any = None) -> Row:
    """Write the model (complete or absent), then the figures, then remove what resuming needed.

    What was trained with LoRA is merged into its base; the adapter is kept beside the model. `state`: the whole
    weights where `model` holds only a process's share of them.
    """
    if not all(bool(p.isfinite().all()) for p in (state or model.state_dict()).values()):
        raise UserError("the training ended with weights that are no numbers: lower learning_rate")
    with out_of_space(output, "the last checkpoint is kept, so only the model is written anew"):
        if hasattr(model, "peft_config"):
            shutil.rmtree(output / "adapter", ignore_errors=True)
            model.save_pretrained(output / "adapter")
            model = model.merge_and_unload()
        write_model(model, tokenizer, base, output, state)
        write_json(output / "figures.json", figures)
    shutil.rmtree(output / "checkpoints", ignore_errors=True)
    return figures


def write_model(model: Any, tokenizer: Any, base: Path, output: Path, state: Any = None) -> None:
    """Into `output/model`, with the base's own tokenizer files: whole or not at all."""
    draft, final = output / ".model-tmp", output / "model"
    for leftover in (draft, final):  # a model without figures is the leftover of a kill between the two
        shutil.rmtree(leftover, ignore_errors=True)
    if model.can_generate() and model.generation_config.eos_token_id is None:
        model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.config.use_cache = True  # switched off by the trainer, and slow for whoever generates with it
    try:
        with _told_while_there(output):
            model.save_pretrained(draft, state_dict=state)
            for file in base.iterdir():  # the base's own files, not the tokenizer written anew: the same for vLLM
                if file.is_file() and TOKENIZER_FILES.fullmatch(file.name):
                    shutil.copy2(file, draft / file.name)
            _sync(draft.iterdir())
    except Exception:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    draft.rename(final)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write the file whole or not at all; of several processes, the first does."""
    if not _several.is_first():
        return
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")
    _sync([draft])
    draft.replace(path)


def _sync(files: Iterable[Path]) -> None:
    for file in files:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
