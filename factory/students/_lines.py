"""Rows packed into one line without padding, where no row sees another: block-diagonal attention.

A line is [1, tokens]: positions start again with each row, the first token of a row is nobody's target, and attention
runs inside each row: by torch's variable-length flash attention on a GPU, elsewhere by causal attention over rows of
like length. No mask of tokens × tokens is ever made. Models whose layers are not all of full attention keep
transformers' own attention: with windows in the layers it masks by the positions; with other kinds of layers (state
spaces, linear attention) each row is a line of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

Line = dict[str, Any]
NAME = "documents"
SLACK = 1.25
"""How much of a group of rows of like length may be padding inside the attention, as a factor."""


def attention(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None,
              dropout: float = 0.0, documents: Any = None, **kwargs: Any) -> tuple[Any, None]:
    """Queries, keys and values [1, heads, tokens, size] to [1, tokens, heads, size], each row by itself."""
    if documents is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling,  # type: ignore[no-any-return]
                                      **kwargs)
    shared = query.shape[1] != key.shape[1]
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and query.shape[-1] <= 256:
        ends, longest = kwargs["cu_seq_lens_q"], int(kwargs["max_length_q"])
        flat = (part[0].transpose(0, 1) for part in (query, key, value))
        return varlen_attn(*flat, ends, ends, longest, longest, scale=scaling, window_size=(-1, 0),
                           enable_gqa=shared)[None], None
    groups, places = documents
    done = []
    for group in groups:
        q, k, v = (part[0].transpose(0, 1)[group].transpose(1, 2) for part in (query, key, value))
        made = scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=shared)
        done.append(made.transpose(1, 2).flatten(0, 1))
    return torch.cat(done)[places][None], None


AttentionInterface.register(NAME, attention)


def prepare(model: Any) -> bool:
    """Set the attention that fits the model; says whether its rows may share a line."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windows = "sliding_attention" in kinds or bool(getattr(config, "sliding_window", None))
    if not kinds <= {"full_attention", "sliding_attention"} or not model._supports_attention_backend:
        return False
    plain = not windows and not getattr(config, "attention_dropout", 0)
    if not plain and not model._supports_sdpa:
        return False
    model.set_attn_implementation(NAME if plain else "sdpa")
    return True


def groups_of(lengths: Sequence[int]) -> list[list[int]]:
    """Numbers of rows, those of like length together."""
    made: list[list[int]] = []
    real = 0
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if made and (len(made[-1]) + 1) * lengths[i] <= SLACK * (real + lengths[i]):
            made[-1].append(i)
            real += lengths[i]
        else:
            made.append([i])
            real = lengths[i]
    return made


def grid(lengths: Sequence[int]) -> tuple[list[torch.Tensor], torch.Tensor]:
    """For each group of rows the tokens [rows, longest] (a short row repeats its last: nobody looks at what comes of
    it), and for each token of the line its place in the groups laid one after the other."""
    starts = torch.tensor([0, *lengths]).cumsum(0)
    places, base, made = torch.empty(int(starts[-1]), dtype=torch.long), 0, []
    for group in groups_of(lengths):
        sizes = torch.tensor([lengths[i] for i in group])
        longest = int(sizes.max())
        made.append(starts[group, None] + torch.minimum(torch.arange(longest)[None], sizes[:, None] - 1))
        for row, i in enumerate(group):
            places[starts[i]:starts[i + 1]] = torch.arange(lengths[i]) + base + row * longest
        base += len(group) * longest
    return made, places


def line(rows: Sequence[Mapping[str, Any]]) -> Line:
    """Rows of `input_ids` and `labels` as what a model takes; every other column of a row's length comes along."""
    lengths = [len(row["input_ids"]) for row in rows]
    made: Line = {key: torch.tensor([[value for row in rows for value in row[key]]]) for key in rows[0]}
    made["position_ids"] = torch.cat([torch.arange(length) for length in lengths])[None]
    made["labels"][made["position_ids"] == 0] = -100
    ends = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    return made | {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": max(lengths),
                   "max_length_k": max(lengths), "documents": grid(lengths),
                   "use_cache": False}  # with a cache transformers does not look for rows in the positions


def batches(sizes: Sequence[int], at_most: int) -> list[list[int]]:
    """Numbers of items that go into one line of `at_most` tokens: the longest first, each where there is room."""
    made: list[list[int]] = []
    room: list[int] = []
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        place = next((k for k, left in enumerate(room) if sizes[i] <= left), len(made))
        if place == len(made):
            made.append([])
            room.append(at_most)
        made[place].append(i)
        room[place] -= sizes[i]
    return [sorted(items) for items in made]
