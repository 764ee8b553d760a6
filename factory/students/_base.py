"""The model that a training starts from, opened from a local folder."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from factory.protocols import UserError
from factory.students._rows import first_line


def open_base(base: Path, kind: Any = AutoModelForCausalLM, **options: Any) -> tuple[Any, Any]:
    """The model, of one of transformers' `kind`s and in float32, and its tokenizer, from a local folder only."""
    if not (base / "config.json").is_file():
        raise UserError(f"{base} is not a model folder (it has no config.json): set base to a folder with the weights")
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
        model = kind.from_pretrained(base, dtype=torch.float32, local_files_only=True, **options)
    except (OSError, ValueError) as error:
        raise UserError(f"the model in {base} does not open ({first_line(error)}): fetch it again") from error
    for name, value in (("chat template", tokenizer.chat_template), ("end-of-text token", tokenizer.eos_token)):
        if not value:
            raise UserError(f"the tokenizer in {base} has no {name}: add one, or use an instruction-tuned base")
    return model, tokenizer
