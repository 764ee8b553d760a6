"""Packing: a row in a line is a row alone, to the last gradient."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the students need the extra [train]")
pytest.importorskip("trl")

from transformers import MistralConfig, MistralForCausalLM, Qwen3Config, Qwen3ForCausalLM  # noqa: E402

from factory.students import _lines  # noqa: E402

LENGTHS = (7, 31, 8, 1, 30)
SIZES: dict[str, Any] = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}


def full() -> Any:
    return Qwen3ForCausalLM(Qwen3Config(**SIZES))


def windowed() -> Any:
    return MistralForCausalLM(MistralConfig(**SIZES, sliding_window=6))


@pytest.fixture(params=[full, windowed], ids=["full attention", "sliding windows"])
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    made = request.param()
    assert _lines.prepare(made)
    return made.eval()


@pytest.fixture
def rows() -> list[dict[str, list[int]]]:
    torch.manual_seed(1)
    ids = [torch.randint(50, (n,)).tolist() for n in LENGTHS]
    return [{"input_ids": row, "labels": row} for row in ids]


def inputs(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
    return {key: value for key, value in _lines.line(rows).items() if key != "labels"}


def test_the_logits_of_a_row_are_the_same_packed_and_alone(model: Any, rows: list[Any]) -> None:
    packed = model(**inputs(rows)).logits[0].split(LENGTHS)
    for row, found in zip(rows, packed, strict=True):
        alone = model(input_ids=torch.tensor([row["input_ids"]])).logits[0]
        torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("row", range(len(LENGTHS)))
def test_a_row_has_no_gradient_to_any_other(model: Any, rows: list[Any], row: int) -> None:
    given = inputs(rows)
    embedded = model.get_input_embeddings()(given.pop("input_ids")).detach().requires_grad_()
    model(inputs_embeds=embedded, **given).logits[0].split(LENGTHS)[row].square().sum().backward()
    touched = [bool(part.abs().max() > 0) for part in embedded.grad[0].split(LENGTHS)]
    assert touched == [other == row for other in range(len(LENGTHS))]


def test_a_line_begins_again_with_each_row(rows: list[Any]) -> None:
    line = _lines.line(rows)
    assert line["input_ids"].shape == (1, sum(LENGTHS))
    assert line["position_ids"][0].tolist() == [i for n in LENGTHS for i in range(n)]
    assert line["cu_seq_lens_q"].tolist() == [0, 7, 38, 46, 47, 77]
    firsts = line["position_ids"] == 0
    assert (line["labels"][firsts] == -100).all()
    assert (line["labels"][~firsts] == line["input_ids"][~firsts]).all()


def test_the_grid_pads_little_and_finds_every_token() -> None:
    groups, places = _lines.grid(LENGTHS)
    flat = torch.cat([group.flatten() for group in groups])
    assert flat[places].tolist() == list(range(sum(LENGTHS)))
    assert sum(group.numel() for group in groups) <= _lines.SLACK * sum(LENGTHS)
    assert len(groups) < len(LENGTHS)


def test_a_model_with_other_layers_gets_a_line_for_each_row() -> None:
    made = full()
    made.config.layer_types = ["linear_attention", "full_attention"]
    assert not _lines.prepare(made)


@pytest.mark.parametrize(("at_most", "expected"), [
    (10, [[1], [0, 3], [2]]), (0, [[1], [0], [2], [3]]), (100, [[0, 1, 2, 3]])])
def test_lines_are_filled_with_the_longest_first(at_most: int, expected: list[list[int]]) -> None:
    assert _lines.batches([6, 12, 5, 4], at_most) == expected
