"""Preferences on packed lines: what of a pair is compared, its loss, and its log-probabilities."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import logsigmoid
from trl import DPOTrainer

from factory.students._lines import Line
from factory.students._loop import InLines, lay
from factory.students._rows import ordered

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Objective:
    """`normalised`: SimPO, without a reference and by the mean over the compared tokens (Meng et al. 2024, eq. 6).

    `smoothing` is the chance that a pair is the wrong way round (conservative DPO, Mitchell 2023); `nll` weighs the
    mean negative log-likelihood of the chosen side (Pang et al. 2024), on its whole answer or on what is compared.
    """

    beta: float = 0.1
    margin: float = 0.0
    normalised: bool = False
    smoothing: float = 0.0
    nll: float = 0.2
    nll_on_answer: bool = False
    mask_shared: bool = True

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Losses [pairs] of `scores` [pairs, 2], chosen and rejected."""
        distance = self.beta * (scores[:, 0] - scores[:, 1]) - self.margin
        return -(1 - self.smoothing) * logsigmoid(distance) - self.smoothing * logsigmoid(-distance)


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens the two begin with in common."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def compared(row: Row, side: str, mask_shared: bool) -> range:
    """The places of a side's answer that are compared with the other's.

    What both begin with says nothing about which is better, and no more does the token that ends both (Llama 3.1,
    section 4.1.4), unless a side has nothing else to show, or was cut and ends in some token.
    """
    sides = [row["chosen_ids"], row["rejected_ids"]]
    mine, other = sides if side == "chosen" else sides[::-1]
    begin = shared(mine, other) if mask_shared else 0
    both_end = row["whole"] and mine[-1] == other[-1] and min(len(mine), len(other)) - begin > 1 and mask_shared
    return range(begin, len(mine) - both_end)


def documents(row: Row, objective: Objective, scoring: bool = False) -> list[dict[str, list[int]]]:
    """Chosen and rejected, each with its prompt: the ids, what is compared, what the likelihood term covers.

    With `scoring` the likelihood term covers the whole of both answers. Tokens in neither bear no label at all.
    """
    made = []
    for side in ("chosen", "rejected"):
        prompt, answer = row["prompt_ids"], row[f"{side}_ids"]
        inside = compared(row, side, objective.mask_shared)
        compare = [0] * len(prompt) + [int(i in inside) for i in range(len(answer))]
        whole = scoring or (objective.nll_on_answer and side == "chosen")
        likely = [0] * len(prompt) + [1] * len(answer) if whole else [
            int(bool(c) and side == "chosen" and objective.nll > 0) for c in compare]
        ids = [*prompt, *answer]
        made.append({"input_ids": ids, "compare": compare, "likely": likely, "labels": [
            token if c or n else -100 for token, c, n in zip(ids, compare, likely, strict=True)]})
    return made


def per_row(values: torch.Tensor, line: Line) -> torch.Tensor:
    """Sums [rows] of `values` [tokens] over each row of the line."""
    lengths = line["cu_seq_lens_q"].diff().long()
    owner = torch.repeat_interleave(torch.arange(len(lengths), device=values.device), lengths)
    return torch.zeros(len(lengths), device=values.device, dtype=values.dtype).index_add(0, owner, values)


class Preferences(InLines, DPOTrainer):  # type: ignore[misc]  # TRL is untyped here
    """Rows of `prompt_ids`, `chosen_ids`, `rejected_ids` and, where there is a reference, `reference` [2]."""

    def __init__(self, *args: Any, objective: Objective, **kwargs: Any) -> None:
        self.objective = objective
        super().__init__(*args, **kwargs)

    def documents(self, row: Row) -> list[Any]:
        return documents(row, self.objective)

    def collate(self, rows: Sequence[Row]) -> list[Line]:
        """The reference's scores travel with their line."""
        numbered = [{**row, "number": i} for i, row in enumerate(rows)]
        lines = lay(numbered, lambda row: [{**part, "number": [row["number"]] * len(part["input_ids"])}
                                           for part in self.documents(row)], self.room())
        for line in lines:
            first = line.pop("number")[0][line["cu_seq_lens_q"][:-1:2].long()]
            line["reference"] = torch.tensor([rows[int(i)]["reference"] for i in first])
        return lines

    def counts(self, line: Line) -> list[int]:
        """Pairs, and tokens of the likelihood term; a line that only keeps others company has none."""
        if not bool((line["labels"] != -100).any()):
            return [0, 0]
        return [len(line["reference"]), int(line["likely"].sum())]

    def loss(self, model: Any, line: Line, totals: torch.Tensor) -> torch.Tensor:
        logps, compare, likely = self.weighed(model, line)
        sums = per_row(logps * compare, line).view(-1, 2)
        if self.objective.normalised:
            scores = sums / per_row(compare.to(sums.dtype), line).view(-1, 2).clamp(min=1)
        else:
            scores = sums - line["reference"]
        real = per_row((line["labels"][0] != -100).to(sums.dtype), line).view(-1, 2).sum(1) > 0
        return (self.objective(scores) * real).sum() / totals[0] - (
            self.objective.nll * (logps * likely).sum() / totals[1])

    def weighed(self, model: Any, line: Line) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log-probabilities [tokens], and which of them are compared and likely."""
        plain = {key: value for key, value in line.items() if key not in ("compare", "likely", "reference")}
        return self.scores(model, plain), line["compare"][0], line["likely"][0]

    def _precompute_ref_logps(self, dataset: Any, *rest: Any) -> Any:
        """Done by `logprobs`, once for each row and not for each of its epochs."""
        return dataset

    def refer(self, rows: Sequence[Row], places: Sequence[int], at_most: int) -> torch.Tensor:
        """Score the rows by the model as it is, which makes it the reference; returns the `logprobs`."""
        self.at_most = at_most
        found = self.logprobs(rows)
        self.rows = [{**row, "reference": scores[:, 0].tolist()} for row, scores in zip(rows, found, strict=True)]
        self.train_dataset = ordered(self.rows, places)
        return found

    def margins(self, rows: Sequence[Row], before: torch.Tensor) -> dict[str, float]:
        """Mean log-probability of both sides before and after, and how often the margin to the reference is right.

        `…_logprob` is of what is compared, `…_answer` of the whole (cut) answer.
        """
        now = self.logprobs(rows)
        margin = (now - before)[:, 0, 0] - (now - before)[:, 1, 0]
        return {"margin_accuracy": round(float((margin > 0).float().mean()), 4),
                "margin": round(float(margin.mean()) * self.objective.beta, 4),
                **{f"{side}_{what}_{when}": round(float(values[:, i, k].mean()), 4)
                   for when, values in (("start", before), ("end", now))
                   for i, side in enumerate(("chosen", "rejected")) for k, what in enumerate(("logprob", "answer"))}}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def logprobs(self, rows: Sequence[Row]) -> torch.Tensor:
        """[rows, 2 sides, 2]: the log-probability of what is compared, and of the whole answer."""
        self.model.eval()
        found = []
        for start in range(0, len(rows), 256):
            part = [{**row, "place": i} for i, row in enumerate(rows[start:start + 256])]
            made = torch.zeros(len(part), 2, 2)
            lines = lay(part, lambda row: [{**side, "place": [row["place"]] * len(side["input_ids"])}
                                           for side in documents(row, self.objective, scoring=True)], self.room())
            for line in lines:
                places = line.pop("place")[0][line["cu_seq_lens_q"][:-1:2].long()]
                with self.compute_loss_context_manager():
                    logps, compare, likely = self.weighed(self.model, self._prepare_inputs(line))
                made[places] = torch.stack([per_row(logps * mask, line).view(-1, 2).cpu().float()
                                            for mask in (compare, likely)], dim=-1)
            found.append(made)
        return torch.cat(found)
