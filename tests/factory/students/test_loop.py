"""The step on packed lines: the loss and the gradient of plain padding-free training, whatever the line."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the students need the extra [train]")
pytest.importorskip("trl")

from transformers import AutoTokenizer  # noqa: E402
from trl import DPOConfig, SFTConfig  # noqa: E402

from factory.students import _base, _rows, dpo, sft  # noqa: E402
from factory.students._loop import Supervised, flops  # noqa: E402
from factory.students._pairs import Objective, Preferences, compared, documents  # noqa: E402

ARGUMENTS: dict[str, Any] = {"report_to": [], "use_cpu": True, "bf16": False, "max_length": None,
                             "gradient_checkpointing": False, "remove_unused_columns": False}


@pytest.fixture
def supervised(base: Path, sft_rows: list[Any], tmp_path: Path) -> tuple[Any, list[Any]]:
    torch.set_num_threads(1)
    model, tokenizer = _base.open_base(base)
    rows = [sft.tokenised(tokenizer, row["messages"]) for row in sft_rows[:6]]
    args = SFTConfig(str(tmp_path), **ARGUMENTS)
    return Supervised(model=model, args=args, processing_class=tokenizer, train_dataset=_rows.ordered(rows, range(6))
                      ), rows


def gradient(model: Any) -> Any:
    return torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize("at_most", [0, 150, 10_000])
def test_loss_and_gradient_are_those_of_one_row_after_the_other(supervised: Any, base: Path, at_most: int) -> None:
    trainer, rows = supervised
    trainer.at_most = at_most
    loss = trainer.training_step(trainer.model, trainer.collate(rows))
    plain, _ = _base.open_base(base)
    labelled = sum(sft.trained(row) for row in rows)
    expected = 0.0
    for row in rows:
        part = plain(input_ids=torch.tensor([row["input_ids"]]), labels=torch.tensor([row["labels"]])).loss
        (part * sft.trained(row) / labelled).backward()
        expected += float(part) * sft.trained(row) / labelled
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(gradient(trainer.model), gradient(plain), rtol=1e-4, atol=1e-6)


def test_the_operations_of_a_step_are_counted_as_the_formula_says(supervised: Any) -> None:
    trainer, rows = supervised
    body = sum(p.numel() for n, p in trainer.model.named_parameters() if "embed" not in n)
    table = trainer.model.get_input_embeddings().weight.numel()
    row = rows[0]
    attention = 6 * row["length"]**2 * 32 * 2  # two layers, one head of 32
    expected = 6 * body * row["length"] + 6 * table * sft.trained(row) + attention
    assert flops(trainer.model, trainer.collate([row])) == expected


PAIR = {"prompt_ids": [1, 2, 3], "chosen_ids": [4, 5, 6, 7, 9], "rejected_ids": [4, 5, 8, 9], "whole": True,
        "reference": [-2.0, -3.0]}


def test_what_both_sides_begin_with_and_the_end_of_both_are_not_compared() -> None:
    assert [list(compared(PAIR, side, True)) for side in ("chosen", "rejected")] == [[2, 3], [2]]
    assert [list(compared(PAIR, side, False)) for side in ("chosen", "rejected")] == [[0, 1, 2, 3, 4], [0, 1, 2, 3]]
    cut = PAIR | {"whole": False}  # the token that both end in is one of the text
    assert [list(compared(cut, side, True)) for side in ("chosen", "rejected")] == [[2, 3, 4], [2, 3]]


def test_the_end_is_compared_where_it_is_all_that_a_side_has_to_show() -> None:
    short = {"prompt_ids": [1], "chosen_ids": [4, 9], "rejected_ids": [4, 5, 9], "whole": True}
    assert [list(compared(short, side, True)) for side in ("chosen", "rejected")] == [[1], [1, 2]]


def test_the_likelihood_term_covers_what_is_compared_or_the_answer() -> None:
    masks = [documents(PAIR, Objective(nll_on_answer=whole)) for whole in (False, True)]
    assert [part["likely"] for part in masks[0]] == [[0, 0, 0, 0, 0, 1, 1, 0], [0] * 7]
    assert [part["likely"] for part in masks[1]] == [[0, 0, 0, 1, 1, 1, 1, 1], [0] * 7]
    assert [part["labels"] for part in masks[0]] == [[-100] * 5 + [6, 7, -100], [-100] * 5 + [8, -100]]


@pytest.fixture
def preferences(base: Path, dpo_rows: list[Any], tmp_path: Path) -> Any:
    def make(**objective: Any) -> tuple[Any, list[Any]]:
        torch.set_num_threads(1)
        model, tokenizer = _base.open_base(base)
        rows = [dpo.tokenised(tokenizer, row, None) for row in dpo_rows[:4]]
        args = DPOConfig(str(tmp_path), precompute_ref_log_probs=True, **ARGUMENTS)
        trainer = Preferences(model=model, args=args, processing_class=tokenizer, objective=Objective(**objective),
                              train_dataset=_rows.ordered(rows, range(4)))
        trainer.refer(rows, range(4), 4096)
        return trainer, trainer.rows
    return make


def logprobs(model: Any, prompt: list[int], answer: list[int]) -> Any:
    """[answer] by plain transformers."""
    ids = torch.tensor([prompt + answer])
    found = model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    return found[len(prompt) - 1:]


@pytest.mark.parametrize("objective", [
    {"nll": 0.0}, {"smoothing": 0.2}, {"nll": 0.5, "nll_on_answer": True}, {"mask_shared": False},
    {"normalised": True, "beta": 2.0, "margin": 0.3}])
@pytest.mark.parametrize("at_most", [0, 10_000])
def test_the_loss_is_the_papers_over_the_tokens_that_are_compared(preferences: Any, base: Path, at_most: int,
                                                                 objective: dict[str, Any]) -> None:
    trainer, rows = preferences(**objective)
    trainer.at_most = at_most
    found = float(trainer.training_step(trainer.model, trainer.collate(rows)))
    plain, _ = _base.open_base(base)
    losses, likely = [], []
    for row in rows:
        scores = []
        for side, reference in zip(("chosen", "rejected"), row["reference"], strict=True):
            logps = logprobs(plain, row["prompt_ids"], row[f"{side}_ids"])
            inside = logps[list(compared(row, side, trainer.objective.mask_shared))]
            scores.append(inside.mean() if trainer.objective.normalised else inside.sum() - reference)
            if side == "chosen":
                likely.append(logps if trainer.objective.nll_on_answer else inside)
        distance = trainer.objective.beta * (scores[0] - scores[1]) - trainer.objective.margin
        smoothing = trainer.objective.smoothing
        losses.append(-(1 - smoothing) * distance.sigmoid().log() - smoothing * (-distance).sigmoid().log())
    expected = sum(losses) / 4 - trainer.objective.nll * torch.cat(likely).mean()
    assert found == pytest.approx(float(expected), rel=1e-4)
    if not trainer.objective.normalised and not trainer.objective.nll and not smoothing:
        assert found == pytest.approx(torch.tensor(2.0).log().item(), rel=1e-5)  # the model is its own reference


def test_masked_tokens_get_no_gradient(preferences: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, rows = preferences()
    line = trainer.collate(rows)[0]
    seen: list[Any] = []

    def scores(model: Any, line: Any) -> Any:
        seen.append(Preferences.scores(trainer, model, line).detach().requires_grad_())
        return seen[0]

    monkeypatch.setattr(trainer, "scores", scores)
    trainer.loss(trainer.model, line, torch.tensor(trainer.counts(line))).backward()
    has_gradient, bears_loss = seen[0].grad != 0, line["compare"][0] + line["likely"][0] > 0
    assert torch.equal(has_gradient, bears_loss)
    assert 0 < bears_loss.sum() < 0.2 * bears_loss.numel()


def test_the_tokenizer_of_the_tests_ends_turns(base: Path) -> None:
    assert AutoTokenizer.from_pretrained(base).eos_token_id is not None
