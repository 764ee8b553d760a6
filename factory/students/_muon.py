"""Muon for the matrices (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon), AdamW for the rest."""

from typing import Any

import torch


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
