"""A model's folder: which files make the model, and what it is called by: a digest of them."""

import hashlib
from pathlib import Path

from factory.protocols import UserError

DIGESTED = ("config.json", "generation_config.json", "chat_template*", "tokenizer*", "special_tokens_map.json",
            "added_tokens.json", "vocab.*", "merges.txt", "*.safetensors", "*.safetensors.index.json",
            "pytorch_model*.bin", "*.gguf")
"""The files of a model folder that determine its answers; figures, recipes and checkpoints beside them do not."""


def digest(folder: Path) -> str:
    """A hash of the model in `folder`: the same wherever the folder lies, whatever else lies in it."""
    whole = hashlib.sha256()
    for path in files(folder):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.name}\0{content}\n".encode())
    return whole.hexdigest()[:32]


def files(folder: Path) -> list[Path]:
    """The files that make the model. Raises UserError when there are none."""
    found = {path for pattern in DIGESTED for path in folder.glob(pattern) if path.is_file()}
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: set teacher.model to a model's folder, or to a name on the hub")
    if folder / "config.json" not in found:
        raise UserError(f"{folder} holds no model (no config.json): set teacher.model to a model's folder")
    return sorted(found)
