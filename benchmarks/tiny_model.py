"""Many samples from a tiny Qwen3 model on a CPU: what benchmarks ask by the hundred thousand is written here.

transformers' own `generate` makes 4–5 thousand tokens a second a core at such a size, nearly all of it overhead of
Python and of a cache that is copied at every step. Here the cache is allocated once, finished rows leave the batch, and
the layers are written out. `check` compares the logits with transformers'.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn.functional import linear, rms_norm, silu
from transformers import AutoTokenizer

ROWS = 512
"""Sequences in a batch."""


class TinyModel:
    """A Qwen3 of few parameters in float32, and its tokenizer. `ask` gives raw texts as a server of it would."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.weights = {k.removeprefix("model."): v.float() for k, v in load_file(folder / "model.safetensors").items()}
        self.heads, self.groups = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        self.size, self.layers = self.config["head_dim"], self.config["num_hidden_layers"]
        theta = (self.config.get("rope_parameters") or self.config)["rope_theta"]
        angles = torch.outer(torch.arange(2048.0), theta ** (-torch.arange(0, self.size, 2) / self.size))
        self.cos, self.sin = torch.cat([angles, angles], 1).cos(), torch.cat([angles, angles], 1).sin()
        self.end = self.tokenizer.eos_token_id
        for layer in range(self.layers):  # read together, they are one product
            for whole, parts in (("self_attn.qkv", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
                                 ("mlp.wide", ("mlp.gate_proj", "mlp.up_proj"))):
                self.weights[f"layers.{layer}.{whole}.weight"] = torch.cat(
                    [self.weights.pop(f"layers.{layer}.{part}.weight") for part in parts])

    def forward(self, ids: torch.Tensor, cache: torch.Tensor, at: int, seen: torch.Tensor) -> torch.Tensor:
        """Logits [rows, vocabulary] after `ids` [rows, n], which stand at places `at` … of `cache` [layers, 2, rows,
        groups, places, size]; `seen` [rows, places] is False on the padding to the left."""
        n = ids.shape[1]
        places = (torch.cumsum(seen[:, :at + n], 1)[:, at:] - 1).clamp(min=0)
        cos, sin = self.cos[places][:, None], self.sin[places][:, None]  # [rows, 1, n, size]
        mask = seen[:, None, None, :at + n] & (torch.arange(at + n) <= torch.arange(at, at + n)[:, None])
        hidden = self.weights["embed_tokens.weight"][ids]
        for layer in range(self.layers):
            hidden = hidden + self._attend(layer, hidden, cos, sin, cache[layer], at, mask)
            gate, up = self._to(f"layers.{layer}.mlp.wide", self._norm(
                f"layers.{layer}.post_attention_layernorm", hidden)).chunk(2, -1)
            hidden = hidden + self._to(f"layers.{layer}.mlp.down_proj", silu(gate) * up)
        last = self._norm("norm", hidden[:, -1])
        return linear(last, self.weights.get("lm_head.weight", self.weights["embed_tokens.weight"]))

    def _attend(self, layer: int, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, cache: torch.Tensor,
                at: int, mask: torch.Tensor) -> torch.Tensor:
        rows, n, _ = hidden.shape
        name = f"layers.{layer}.self_attn"
        x = self._norm(f"layers.{layer}.input_layernorm", hidden)
        q, k, v = self._to(f"{name}.qkv", x).view(rows, n, -1, self.size).split(
            [self.heads, self.groups, self.groups], dim=2)
        q, k = self._norm(f"{name}.q_norm", q).transpose(1, 2), self._norm(f"{name}.k_norm", k).transpose(1, 2)
        cache[0, :, :, at:at + n], cache[1, :, :, at:at + n] = _turned(k, cos, sin), v.transpose(1, 2)
        found = torch.nn.functional.scaled_dot_product_attention(
            _turned(q, cos, sin), cache[0, :, :, :at + n], cache[1, :, :, :at + n], attn_mask=mask, enable_gqa=True)
        return self._to(f"{name}.o_proj", found.transpose(1, 2).reshape(rows, n, -1))

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight = self.weights[f"{name}.weight"]
        return rms_norm(x, weight.shape, weight, self.config["rms_norm_eps"])

    def _to(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return linear(x, self.weights[f"{name}.weight"])

    def prompt_ids(self, prompt: str, begun: str = "") -> list[int]:
        """The question as a chat, and the beginning of the answer."""
        text = self.tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True,
                                                  tokenize=False)
        return list(self.tokenizer.encode(text + begun, add_special_tokens=False))

    def ask(self, prompts: Sequence[str], temperature: float, max_tokens: int, seed: int,
            begun: Sequence[str] = ()) -> list[tuple[str, int, bool]]:
        """(raw text, tokens, whether it came to its end) for each prompt; 0 is greedy. `begun`: how each answer begins,
        which is not in the text that comes back."""
        ids = [self.prompt_ids(p, b) for p, b in zip(prompts, begun or [""] * len(prompts), strict=True)]
        found: list[Any] = [None] * len(ids)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        generator = torch.Generator().manual_seed(seed)
        for start in range(0, len(order), ROWS):
            part = order[start:start + ROWS]
            for i, tokens in zip(part, self._batch([ids[i] for i in part], temperature, max_tokens, generator),
                                 strict=True):
                ended = bool(tokens) and tokens[-1] == self.end
                found[i] = self.tokenizer.decode(tokens[:-1] if ended else tokens), len(tokens), ended
        return found

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _batch(self, ids: Sequence[list[int]], temperature: float, max_tokens: int, generator: torch.Generator
               ) -> list[list[int]]:
        width = max(map(len, ids))
        cache = torch.zeros(self.layers, 2, len(ids), self.groups, width + max_tokens, self.size)
        seen = torch.ones(len(ids), width + max_tokens, dtype=torch.bool)
        for i, row in enumerate(ids):
            seen[i, :width - len(row)] = False
        logits = self.forward(torch.tensor([[0] * (width - len(row)) + row for row in ids]), cache, 0, seen)
        written: list[list[int]] = [[] for _ in ids]
        alive = torch.arange(len(ids))
        for at in range(width, width + max_tokens):
            tokens = logits.argmax(-1) if not temperature else _drawn(logits / temperature, generator)
            for i, token in zip(alive.tolist(), tokens.tolist(), strict=True):
                if not written[i] or written[i][-1] != self.end:
                    written[i].append(token)
            going = torch.tensor([written[i][-1] != self.end for i in alive.tolist()])
            if not going.any():
                break
            if going.sum() < 0.75 * len(alive):  # the finished rows leave
                cache, seen, alive, tokens = cache[:, :, going], seen[going], alive[going], tokens[going]
            logits = self.forward(tokens[:, None], cache, at, seen)
        return written


def _drawn(logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A token for each row, by the inverse of the cumulative distribution: `multinomial` takes as long as a layer."""
    sums = logits.double().softmax(-1).cumsum(-1)
    return (sums < sums[:, -1:] * torch.rand(len(logits), 1, generator=generator, dtype=torch.float64)).sum(-1)


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def check(folder: Path, prompts: Sequence[str]) -> float:
    """The largest difference of logits to transformers' own, over prompts of unlike lengths in one batch."""
    from transformers import AutoModelForCausalLM

    mine, theirs = TinyModel(folder), AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = [mine.prompt_ids(prompt) for prompt in prompts]
    width = max(map(len, ids))
    cache = torch.zeros(mine.layers, 2, len(ids), mine.groups, width, mine.size)
    seen = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in ids])
    with torch.inference_mode():
        got = mine.forward(torch.tensor([[0] * (width - len(row)) + row for row in ids]), cache, 0, seen)
        return max(float((got[i] - theirs(torch.tensor([row])).logits[0, -1]).abs().max()) for i, row in enumerate(ids))
