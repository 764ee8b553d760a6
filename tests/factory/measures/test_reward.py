"""Scores of reward models as measures: by the shard, in a process of their own, known by the model's digest."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="reward models need the extra [train]")

from factory import plugins
from factory.emitters.process_reward import step_columns
from factory.measures import _scorer, process_reward, reward
from factory.protocols import UserError
from factory.recipe import MeasureSpec
from factory.records import Completion, Problem, Request, Trace
from factory.stages.labels import replayed
from factory.stages.measure import key, measured
from factory.steps import AGGREGATES
from factory.thoughts import split

STUDENT = Path(__file__).parents[3] / "data" / "student"
RAW = "<think>\n1+2=3\n3*4=12\n</think>\nThe answer is \\boxed{12}."


def trace(raw: str, sample: int = 0) -> tuple[Problem, Trace]:
    problem = Problem("What is (1+2)*4?", "12")
    thinking, _, response = raw.removeprefix("<think>\n").rpartition("\n</think>\n")
    return problem, Trace(Request(problem.id, "t", "s", sample), Completion(thinking, response, raw, "stop"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """A small model with a head of the kind, drawn by a seed."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification

    classes = {"reward": AutoModelForSequenceClassification, "process": AutoModelForTokenClassification}

    def make(kind: str, seed: int) -> Path:
        folder = tmp_path_factory.mktemp(kind) / "model"
        shutil.copytree(STUDENT, folder, ignore=shutil.ignore_patterns("*.safetensors"))
        torch.manual_seed(seed)
        config = AutoConfig.from_pretrained(STUDENT, num_labels=1, num_hidden_layers=1, hidden_size=32, head_dim=16,
                                            num_attention_heads=2, num_key_value_heads=1, intermediate_size=32,
                                            layer_types=["full_attention"], max_position_embeddings=128)
        classes[kind].from_config(config).save_pretrained(folder)
        return folder
    return make


def test_a_reward_is_the_model_s_number_of_the_whole_conversation(model: Callable[[str, int], Path]) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = model("reward", 1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = f"<|im_start|>user\nWhat is (1+2)*4?<|im_end|>\n<|im_start|>assistant\n{RAW}<|im_end|>"
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    by_hand = AutoModelForSequenceClassification.from_pretrained(folder)(ids).logits[0, 0].item()
    assert reward.reward(*trace(RAW), model=str(folder)) == pytest.approx(by_hand, abs=1e-4)
    assert reward.reward(*trace(RAW), model=str(folder), thinking="drop") != pytest.approx(by_hand, abs=1e-4)
    with pytest.raises(UserError, match="a model for the measure `reward`"):
        process_reward.process_reward(*trace(RAW), model=str(folder), aggregate="min")


def test_a_process_reward_is_an_aggregate_of_its_steps(model: Callable[[str, int], Path]) -> None:
    folder = str(model("process", 2))
    found = {name: process_reward.process_reward(*trace(RAW), model=folder, aggregate=name)  # type: ignore[arg-type]
             for name in AGGREGATES}
    steps = _scorer.value(folder, "process", process_reward._text(*trace(RAW), "\n", "", ""))
    assert len(steps) == 2
    assert all(0 < score < 1 for score in steps)
    assert found == {name: pytest.approx(way(steps)) for name, way in AGGREGATES.items()}
    with pytest.raises(UserError, match="needs the parameter 'aggregate'"):
        plugins.bind("measure", "process_reward", {"model": folder})


@pytest.mark.parametrize("ending", ["</think>", "\n</think>", "\n\n</think>", " \n</think>", "\r\n</think>"])
def test_the_steps_that_are_scored_end_as_those_of_the_training_do(ending: str) -> None:
    raw = f"<think>\n2*6=12\n12+1=13{ending}\nThe answer is 13."
    problem, told = Problem("2*6+1?", "13"), Completion(*split(raw), raw, "stop")
    found = process_reward._text(problem, Trace(Request(problem.id, "t", "s", 0), told), "\n", "", "")["steps"]
    assert found == step_columns(replayed(raw, "13"))["completions"]
    assert found[-1].startswith("12+1=13") and found[-1].endswith("\n")


def test_what_is_too_long_or_has_no_step_has_no_value_and_stops_nothing(model: Callable[[str, int], Path]) -> None:
    folder = str(model("process", 3))
    spec = MeasureSpec.model_validate({"plugin": "process_reward", "model": folder, "aggregate": "min"})
    pairs = [trace(RAW, 0), trace("1+1=2\n" * 100, 1), trace("", 2), trace(RAW, 3)]
    values, = measured(pairs, [spec]).values()
    assert [values[t.id] is None for _, t in pairs] == [False, True, True, False]
    assert values[pairs[0][1].id] == values[pairs[3][1].id]


def test_scores_are_known_by_the_model_s_content_wherever_it_lies(model: Callable[[str, int], Path], tmp_path: Path
                                                                  ) -> None:
    def known(folder: Path) -> object:
        return key(MeasureSpec.model_validate({"plugin": "reward", "model": str(folder), "thinking": "drop"}))

    one, other = model("reward", 4), model("reward", 5)
    moved = shutil.copytree(one, tmp_path / "moved")
    assert known(one) == known(moved) != known(other)
    assert str(one) not in str(known(one))
    shutil.copy(other / "model.safetensors", one / "model.safetensors")  # trained anew in the same place
    assert known(one) == known(other) != known(moved)


def test_a_folder_without_a_reward_model_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model folder"):
        reward.reward(*trace(RAW), model=str(tmp_path))
    with pytest.raises(UserError, match="holds no reward model"):
        reward.reward(*trace(RAW), model=str(STUDENT))
