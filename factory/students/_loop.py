"""TRL's trainers on packed lines: the same step, whatever the number of tokens that go through the model at once.

A batch is a number of rows. It is laid into lines of at most `at_most` tokens, and the gradients of its lines are
added up before the optimiser's step, so memory is a matter of `at_most` and the result is not. The head of the model
runs at the tokens that bear loss and nowhere else.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import trl.trainer.utils
from trl import SFTTrainer

from factory.students import _lines
from factory.students._lines import Line

# TRL picks the labelled positions out only where Triton runs; on a CPU the head would work through all of them.
trl.trainer.utils._use_triton = lambda device: True

Row = Mapping[str, Any]


def flops(model: Any, lines: Sequence[Line]) -> float:
    """Of one forward and backward pass: 6 for a trained weight and a token, 4 for a frozen one, 6 · length² · width for
    a layer's causal attention over a row (Chowdhery et al. 2022, appendix B). The head counts where
    there is loss."""
    config = model.config.get_text_config()
    head = model.get_output_embeddings().weight.numel()
    table = model.get_input_embeddings().weight
    weights = [(p.numel(), p.requires_grad) for p in model.parameters() if p is not table]
    body = sum(count * (6 if trained else 4) for count, trained in weights)
    if model.get_output_embeddings().weight is not table:
        body -= head * 6
    width = config.num_attention_heads * (getattr(config, "head_dim", None) or (
        config.hidden_size // config.num_attention_heads))
    squares = sum(float(line["cu_seq_lens_q"].diff().square().sum()) for line in lines)
    tokens = sum(line["input_ids"].numel() for line in lines)
    labelled = sum(int((line["labels"] != -100).sum()) for line in lines)
    return float(body * tokens + 6 * head * labelled + 6 * squares * width * config.num_hidden_layers)


def lay(rows: Sequence[Row], documents: Callable[[Row], list[Row]], at_most: int) -> list[Line]:
    """Rows as lines; the documents of one row stay in one line. `at_most` 0: each row in a line of its own."""
    made = [documents(row) for row in rows]
    sizes = [sum(len(part["input_ids"]) for part in parts) for parts in made]
    return [_lines.line([part for i in items for part in made[i]]) for items in _lines.batches(sizes, at_most)]


class InLines:
    """Before a trainer of TRL's among the bases. What bears loss, and how much of it, is the heir's."""

    at_most = 0
    """Tokens of a line; may be set until the training starts."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.shares_lines, self.flops, self.tokens = _lines.prepare(kwargs["model"]), 0.0, 0
        super().__init__(*args, data_collator=self.collate, **kwargs)  # type: ignore[call-arg]
        model: Any = self.model  # type: ignore[attr-defined]
        trl.trainer.utils.add_fused_lm_head(model.get_base_model() if hasattr(model, "peft_config") else model)

    def collate(self, rows: Sequence[Row]) -> list[Line]:
        return lay(rows, self.documents, self.room())

    def room(self) -> int:
        """Tokens of a line; 0 where each row has one of its own."""
        return self.at_most if self.shares_lines else 0

    def documents(self, row: Row) -> list[Row]:
        raise NotImplementedError

    def counts(self, line: Line) -> list[int]:
        """What the loss of a step is divided by."""
        raise NotImplementedError

    def loss(self, model: Any, line: Line, totals: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def scores(self, model: Any, line: Line) -> torch.Tensor:
        """Log-probabilities [tokens] of the labelled tokens given what is before them in their row; 0 elsewhere."""
        found = model(**line, fused_lm_head=True).log_probs[0]
        return torch.nn.functional.pad(found, (1, 0))

    def training_step(self: Any, model: Any, inputs: list[Line], num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward over all lines of a batch; returns its loss."""
        model.train()
        lines = self._prepare_inputs(self._even(inputs))
        totals = torch.tensor([self.counts(line) for line in lines], device=self.accelerator.device).sum(0)
        totals = self.accelerator.reduce(totals).clamp(min=1)
        whole = torch.zeros((), device=self.accelerator.device)
        for i, line in enumerate(lines):
            last = i == len(lines) - 1 or self.is_fsdp_enabled  # with FSDP, waiting would keep whole gradients
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss = self.loss(model, line, totals) * self.accelerator.num_processes
                self.accelerator.backward(loss)
            whole += loss.detach()
        return whole

    def _even(self: Any, lines: list[Line]) -> list[Line]:
        """As many lines on each process: their forward passes wait for one another."""
        if self.accelerator.num_processes == 1:
            return lines
        most = int(self.accelerator.gather(torch.tensor([len(lines)], device=self.accelerator.device)).max())
        empty = {**lines[-1], "labels": torch.full_like(lines[-1]["labels"], -100)}
        return lines + [empty] * (most - len(lines))

    def floating_point_ops(self: Any, inputs: list[Line]) -> float:
        """What transformers adds up as `total_flos`, which a checkpoint keeps; and our own sums of this process."""
        made = flops(self.accelerator.unwrap_model(self.model), inputs)
        self.flops += made
        self.tokens += sum(line["input_ids"].numel() for line in inputs)
        return made

    def _prepare_dataset(self, dataset: Any, *rest: Any, **more: Any) -> Any:
        """The rows are tokens already."""
        return dataset


class Supervised(InLines, SFTTrainer):  # type: ignore[misc]  # TRL is untyped here
    """Maximum likelihood of the labelled tokens, each of a batch counting the same."""

    def documents(self, row: Row) -> list[Row]:
        return [{key: row[key] for key in ("input_ids", "labels")}]

    def counts(self, line: Line) -> list[int]:
        return [int((line["labels"] != -100).sum())]

    def loss(self, model: Any, line: Line, totals: torch.Tensor) -> torch.Tensor:
        return -self.scores(model, line).sum() / totals[0]
