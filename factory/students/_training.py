"""What `sft` and `dpo` share: rows in, TRL's checkpoints, a model that is complete or absent, figures.

    output/run.json       the settings it was begun with: another run is not mixed into this one
    output/checkpoints/   TRL's own; a killed run goes on from the last complete one
    output/model/         renamed into place once all of it is written
    output/figures.json   written last: with it and the model there is nothing left to do
"""

import json
import math
import os
import random
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from huggingface_hub import constants
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, ProgressCallback
from trl import DPOTrainer

from factory.protocols import UserError
from factory.records import Message

Row = dict[str, Any]
TOKENIZER_FILES = re.compile(r"(tokenizer|vocab|merges|special_tokens|added_tokens|chat_template|additional_chat).*")

constants.HF_HUB_DISABLE_TELEMETRY = True  # TRL would report every run to its authors; the variable is read too early
datasets.disable_progress_bars()
transformers.logging.disable_progress_bar()


# -- what goes in ----------------------------------------------------------------------------------------------------


def open_base(base: Path) -> tuple[Any, Any]:
    """The model in float32 and its tokenizer, from a local folder only."""
    if not (base / "config.json").is_file():
        raise UserError(f"{base} is not a model folder (it has no config.json): set base to a folder with the weights")
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"the model in {base} does not open ({_first_line(error)}): fetch it again") from error
    for name, value in (("chat template", tokenizer.chat_template), ("end-of-text token", tokenizer.eos_token)):
        if not value:
            raise UserError(f"the tokenizer in {base} has no {name}: add one, or use an instruction-tuned base")
    return model, tokenizer


def open_rows(dataset: Path, columns: Sequence[str]) -> list[Row]:
    """The train split as a list. Raises UserError if it is empty or not of messages in `columns`."""
    try:
        rows = datasets.load_dataset(str(dataset), split="train")
    except Exception as error:  # the library raises every kind here; whichever it is, this folder does not open
        raise UserError(f"{dataset} does not open as a dataset ({_first_line(error)}): emit it again") from error
    if missing := sorted(set(columns) - set(rows.column_names)):
        raise UserError(f"{dataset} has no column '{missing[0]}' (it has {', '.join(rows.column_names)}): emit it with "
                        f"an emitter that writes {', '.join(columns)}")
    found: list[Row] = rows.select_columns(list(columns)).to_list()
    if not found:
        raise UserError(f"{dataset} has no rows: loosen the rules, or make more traces")
    if not all(_is_conversation(row[column]) for row in found for column in columns):
        raise UserError(f"{dataset}: {', '.join(columns)} must be lists of messages with a role and a content: emit it "
                        "again")
    return found


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in value)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def prompt_tokens(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """The prompt as the student sees it when it is asked: up to where its own text begins.

    A template that opens the thinking itself (`<think>` at the end) would have it twice: the answer brings its own.
    """
    if not messages:
        raise UserError("a row has an answer without a prompt before it: emit it again")
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    text = re.sub(r"<think>\s*$", "", text)
    return list(tokenizer.encode(text, add_special_tokens=False))


def answer_tokens(tokenizer: Any, message: Message) -> list[int]:
    """Exactly the content and the token that ends a turn, tokenised apart from the prompt as in generation.

    Not by the template: some rewrite the thinking of a past turn, and TRL's need marks that few templates have.
    """
    if message["role"] != "assistant":
        raise UserError(f"the message to train on is of the role '{message['role']}', not 'assistant': emit it again")
    return list(tokenizer.encode(message["content"] + tokenizer.eos_token, add_special_tokens=False))


def drop(rows: Sequence[Row], keep: Callable[[Row], bool], hint: str) -> tuple[list[Row], int]:
    """The rows to keep and how many were not; `hint` says what to do when none is left."""
    kept = [row for row in rows if keep(row)]
    if not kept:
        raise UserError(f"none of the {len(rows)} rows can be trained on: {hint}")
    return kept, len(rows) - len(kept)


def order(lengths: Sequence[int], batch: int, epochs: float, seed: int) -> list[int]:
    """Row numbers for the whole run: shuffled by epoch, rows of like length in one batch, batches shuffled.

    Fixed before the run and read in sequence, so that a resumed run sees just the rows that the killed one had not
    (transformers' own length grouping draws a new order on resuming).
    """
    rng, stream = random.Random(f"order/{seed}"), list[int]()
    for _ in range(math.ceil(epochs)):
        stream += rng.sample(range(len(lengths)), len(lengths))
    del stream[math.ceil(epochs * len(lengths)):]
    result = list[int]()
    for start in range(0, len(stream), batch * 16):
        pool = sorted(stream[start:start + batch * 16], key=lengths.__getitem__)
        full, rest = divmod(len(pool), batch)
        for i in rng.sample(range(full), full):  # the ragged batch stays last, or the others would straddle its end
            result += pool[i * batch:(i + 1) * batch]
        result += pool[len(pool) - rest:]
    return result


def ordered(rows: Sequence[Row], places: Sequence[int]) -> Any:
    """The rows as a `datasets.Dataset` in the order of `places`, without copying a row for each epoch."""
    return datasets.Dataset.from_list(list(rows)).select(places)


# -- the run ---------------------------------------------------------------------------------------------------------


def finished(output: Path) -> Row | None:
    """The figures of a run that needs nothing more."""
    figures = output / "figures.json"
    if not (figures.is_file() and (output / "model").is_dir()):
        return None
    found: Row = json.loads(figures.read_text())
    return found


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
    if model.generation_config.eos_token_id is None:
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


class Muon(torch.optim.Optimizer):  # type: ignore[misc]  # torch is untyped here
    """Muon for the matrices inside the layers, AdamW for the rest, as one optimiser: one schedule, one checkpoint."""

    def __init__(self, model: Any, rate: float) -> None:
        inner = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n and "lm_head" not in n]
        ids = {id(p) for p in inner}
        outer = [p for p in model.parameters() if id(p) not in ids]
        self.parts = [torch.optim.Muon(inner, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
                      torch.optim.AdamW(outer, lr=rate, betas=(0.9, 0.95), weight_decay=0.01)]
        super().__init__([group for part in self.parts for group in part.param_groups], {})

    def step(self, closure: Any = None) -> None:
        for part, group in zip(self.parts, self.param_groups, strict=True):
            part.state, part.param_groups = self.state, [group]  # what a scheduler or a checkpoint has put here
            part.step()


class TokenisedPairs(DPOTrainer):  # type: ignore[misc]  # TRL is untyped here
    """TRL's trainer on rows that are tokens already: it would end a cut side as if the turn were over."""

    def _prepare_dataset(self, dataset: Any, *rest: Any) -> Any:
        return dataset
