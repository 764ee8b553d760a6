"""Muon for the matrices (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon), AdamW for the rest.

torch's own Muon works through the matrices one by one in bfloat16. On a processor without bfloat16 that takes longer
than the forward and backward pass of a small student; here matrices of one shape go together, in float32 on a CPU.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic Newton-Schulz iteration: the steepest at zero that keeps singular values near one."""
STEPS, MOMENTUM, DECAY = 5, 0.95, 0.01


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Each of [n, rows, columns] with its singular values moved near one, by Newton-Schulz."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).to(torch.bfloat16 if matrices.is_cuda else torch.float32)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Matrices(torch.optim.Optimizer):  # type: ignore[misc]  # torch is untyped here
    """Muon with Nesterov momentum; a step is as long as AdamW's (0.2 · √ of the longer side, Liu et al. 2025)."""

    def __init__(self, parameters: Iterable[Any], rate: float) -> None:
        super().__init__(parameters, {"lr": rate})

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            shapes: dict[Any, list[Any]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes[parameter.shape, parameter.device].append(parameter)
            for parameters in shapes.values():
                self._step(parameters, group["lr"])

    def _step(self, parameters: list[Any], rate: float) -> None:
        for p in parameters:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p.grad)
        grads, moments = [p.grad for p in parameters], [self.state[p]["momentum_buffer"] for p in parameters]
        torch._foreach_lerp_(moments, grads, 1 - MOMENTUM)
        updates = orthogonal(torch.stack(torch._foreach_lerp(grads, moments, MOMENTUM)))
        torch._foreach_mul_(parameters, 1 - rate * DECAY)
        torch._foreach_add_(parameters, list(updates.unbind()), alpha=-rate * 0.2 * max(updates.shape[1:]) ** 0.5)


class Muon(torch.optim.Optimizer):  # type: ignore[misc]  # torch is untyped here
    """Both as one optimiser: one schedule, one checkpoint."""

    def __init__(self, model: Any, rate: float) -> None:
        trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        inner = [p for n, p in trained if p.ndim == 2 and "embed" not in n and "lm_head" not in n]
        ids = {id(p) for p in inner}
        outer = [p for _, p in trained if id(p) not in ids]
        self.parts: list[Any] = [Matrices(inner, rate)] if inner else []
        if outer:
            self.parts.append(torch.optim.AdamW(outer, lr=rate, betas=(0.9, 0.95), weight_decay=DECAY, fused=True))
        super().__init__([group for part in self.parts for group in part.param_groups], {})

    def step(self, closure: Any = None) -> None:
        for part, group in zip(self.parts, self.param_groups, strict=True):
            part.state, part.param_groups = self.state, [group]  # what a scheduler or a checkpoint has put here
            part.step()
