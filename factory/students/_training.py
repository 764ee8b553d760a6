"""A training run, whichever the trainer: TRL's checkpoints, a model that is complete or absent, figures.

    output/run.json       the settings it was begun with: another run is not mixed into this one
    output/checkpoints/   TRL's own; a killed run goes on from the last complete one
    output/model/         renamed into place once all of it is written
    output/figures.json   written last: with it and the model there is nothing left to do
"""

import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import constants
from tqdm import tqdm
from transformers import ProgressCallback

from factory.protocols import UserError

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
    for key in ("epochs", "batch", "learning_rate"):
        if settings[key] <= 0:
            raise UserError(f"{key} = {settings[key]} trains nothing: set it above 0")
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


def arguments(output: Path, steps: int, save_steps: int, seed: int) -> Row:
    """The training arguments that both trainers share."""
    return {
        "output_dir": str(output / "checkpoints"), "save_strategy": "steps", "save_steps": save_steps,
        "save_total_limit": 2, "num_train_epochs": 1, "train_sampling_strategy": "sequential", "seed": seed,
        "logging_steps": max(1, math.ceil(steps / 60)), "logging_nan_inf_filter": False,
        "report_to": [], "use_cpu": not torch.cuda.is_available(), "dataloader_pin_memory": torch.cuda.is_available(),
        "gradient_checkpointing": False, "max_length": None, "weight_decay": 0.01, "adam_beta2": 0.95,
    }


class Watch(ProgressCallback):  # type: ignore[misc]  # transformers is untyped here
    """A bar on stderr that shows the loss instead of printing it, and an end to a run whose loss is no number."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.training_bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", mininterval=2)
        self.current_step = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        loss = (logs or {}).get("loss")
        if loss is None:
            return  # the summary at the end
        if not math.isfinite(loss):
            raise UserError(f"the loss is {loss} at step {state.global_step}: lower learning_rate (it is "
                            f"{args.learning_rate}), or look for broken weights in the base")
        self.training_bar.set_postfix(loss=f"{loss:.3f}", refresh=False)


def train(trainer: Any) -> Row:
    """Train from the last complete checkpoint, or from the start. Returns the figures that every run has."""
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(Watch)
    checkpoint = last_complete(Path(trainer.args.output_dir))
    done = trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    points = [[p["step"], round(p["loss"], 5)] for p in trainer.state.log_history if "loss" in p]
    return {"steps": trainer.state.global_step, "resumed_from_step": _step(checkpoint) if checkpoint else 0,
            "seconds": round(done.metrics["train_runtime"], 1), "first_loss": _edge(points),
            "last_loss": _edge(points[::-1]), "points": points}


def _edge(points: Sequence[Sequence[float]]) -> float:
    """The mean of the first eighth: batches are of rows of like length, so one alone says little."""
    part = [loss for _, loss in points[:math.ceil(len(points) / 8)]]
    return round(sum(part) / len(part), 5)


def last_complete(checkpoints: Path) -> Path | None:
    """The newest checkpoint that was written to its end; a half-written one, left by a kill, is removed."""
    for folder in sorted(checkpoints.glob("checkpoint-*"), key=_step, reverse=True):
        try:
            json.loads((folder / "trainer_state.json").read_text())  # transformers writes this file last
            return folder
        except (OSError, ValueError):
            shutil.rmtree(folder)
    return None


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


# -- what comes out --------------------------------------------------------------------------------------------------


def finish(model: Any, tokenizer: Any, base: Path, output: Path, figures: Row) -> Row:
    """Write the model (complete or absent), then the figures, then remove what resuming needed."""
    if not all(bool(p.isfinite().all()) for p in model.parameters()):
        raise UserError("the training ended with weights that are no numbers: lower learning_rate")
    draft, final = output / ".model-tmp", output / "model"
    for leftover in (draft, final):  # a model without figures is the leftover of a kill between the two
        shutil.rmtree(leftover, ignore_errors=True)
    if model.can_generate() and model.generation_config.eos_token_id is None:
        model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.config.use_cache = True  # switched off by the trainer, and slow for whoever generates with it
    model.save_pretrained(draft)
    for file in base.iterdir():  # the base's own files, not the tokenizer written anew: the same bytes for vLLM
        if file.is_file() and TOKENIZER_FILES.fullmatch(file.name):
            shutil.copy2(file, draft / file.name)
    _sync(draft.iterdir())
    draft.rename(final)
    write_json(output / "figures.json", figures)
    shutil.rmtree(output / "checkpoints", ignore_errors=True)
    return figures


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write the file whole or not at all."""
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")
    _sync([draft])
    draft.replace(path)


def _sync(files: Iterable[Path]) -> None:
    for file in files:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
