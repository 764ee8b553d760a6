"""The model that a training starts from, opened from a local folder."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from factory.protocols import UserError
from factory.students._rows import first_line


def refuse_half_a_download(base: Path) -> None:
    """Raises UserError when a weight file is cut off, or one that the index names is not there."""
    index = base / "model.safetensors.index.json"
    named = json.loads(index.read_text())["weight_map"].values() if index.is_file() else ()
    wanted = {base / name for name in named}
    if missing := sorted(path.name for path in wanted if not path.is_file()):
        raise UserError(f"the download of {base} is not complete: {len(missing)} of {len(wanted)} weight files are "
                        f"missing (the first is {missing[0]}); fetch it again")
    for path in sorted({*wanted, *base.glob("*.safetensors")}):
        try:
            with safe_open(path, "pt"):  # reads the header and compares it with the file's length
                pass
        except Exception as error:
            raise UserError(f"the download of {base} is not complete: {path.name} has {path.stat().st_size:,} bytes, "
                            f"and they do not make a file ({first_line(error)}); fetch it again") from error


def open_base(base: Path, kind: Any = AutoModelForCausalLM, **options: Any) -> tuple[Any, Any]:
    """The model, of one of transformers' `kind`s and in float32, and its tokenizer, from a local folder only."""
    if not (base / "config.json").is_file():
        raise UserError(f"{base} is not a model folder (it has no config.json): set base to a folder with the weights")
    refuse_half_a_download(base)
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
        model, found = kind.from_pretrained(base, dtype=torch.float32, local_files_only=True, output_loading_info=True,
                                            **options)
    except Exception as error:  # every kind of it, whichever file is missing or broken
        raise UserError(f"the model in {base} does not open ({first_line(error)}): fetch it again") from error
    if kind is AutoModelForCausalLM and (missing := sorted(found["missing_keys"])):
        raise UserError(f"the model in {base} lacks {len(missing)} of its weights (the first is {missing[0]}), which "
                        "would begin as random numbers: fetch it again")
    if broken := next((name for name, weights in model.named_parameters() if not bool(weights.isfinite().all())), None):
        raise UserError(f"the model in {base} has weights that are no numbers (the first is {broken}): fetch it again, "
                        "or take one that was trained to its end")
    for name, value in (("chat template", tokenizer.chat_template), ("end-of-text token", tokenizer.eos_token)):
        if not value:
            raise UserError(f"the tokenizer in {base} has no {name}: add one, or use an instruction-tuned base")
    return model, tokenizer
