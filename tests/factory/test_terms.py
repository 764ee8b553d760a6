"""Which teachers the table knows: closed ones and old licences, and none of those that allow it."""

import pytest

from factory.recipe import validate
from factory.terms import KNOWN, NON_COMMERCIAL, known


@pytest.mark.parametrize(("model", "host", "whose"), [
    ("gpt-4o", "", "OpenAI"), ("openai/gpt-5-mini", "router.ai", "OpenAI"), ("mine", "x.openai.azure.com", "OpenAI"),
    ("o1", "", "OpenAI"), ("o4-mini-2025-04-16", "", "OpenAI"), ("claude-opus-4", "", "Anthropic"),
    ("gemini-2.5-pro", "", "Google"), ("grok-3", "", "xAI"), ("any", "api.x.ai", "xAI"),
    ("/models/Meta-Llama-3-8B-Instruct", "", "Meta"), ("Llama-2-7b", "", "Meta"), ("Qwen/Qwen-7B-Chat", "", "Alibaba")])
def test_a_teacher_whose_terms_forbid_it_is_known(model: str, host: str, whose: str) -> None:
    assert known({"plugin": "p", "model": model, "host": host}).startswith(whose)


@pytest.mark.parametrize("model", [
    "gpt-oss-120b", "gpt-j-6b", "Open-O1-8B", "deepseek-reasoner", "DeepSeek-R1-Distill-Llama-8B", "Llama-3.1-8B",
    "Qwen2.5-7B", "Qwen3-8B", "QwQ-32B", "grok-1", "data/teacher"])
def test_one_whose_licence_allows_it_is_not(model: str) -> None:
    assert known({"model": model, "host": "api.example.org"}) == ""


def test_a_teacher_without_a_name_is_not_known() -> None:
    assert known({"plugin": "scripted"}) == ""


# -- what a licence says ---------------------------------------------------------------------------------------------

FORBIDS = [
    "no distillation", "No-Distill", "no_distillation", "distillation forbidden",
    "distillation is strictly prohibited", "Distillation not permitted", "not for distillation", "no training",
    "no-training", "no_ai_training", "No AI training", "not for training", "not-for-training",
    "may not be used to train", "may not be used to train AI models", "MAY NOT BE USED FOR TRAINING",
    "must not be used for model training", "cannot be used to train language models", "can't be used for fine-tuning",
    "shall not be used in the training of neural networks", "never train on this", "training prohibited",
    "Training of models on this data is not allowed", "training: forbidden", "AI training disallowed",
    "use for training is not permitted", "It is forbidden to train models on it", "prohibits the training of models",
    "You are prohibited from using it to train models", "fine-tuning is not permitted", "no fine-tuning",
    "no finetuning", "no machine learning", "not for machine learning", "No ML", "no AI use", "no use in AI",
    "free, but not for AI", "MIT, except that it may not be used to train",
    "CC-BY-4.0; no part of it may be used for training",
    "Outputs may not be used to develop models that compete with us",
    "You will not use the output to improve any other large language model", "evaluation only",
    "for testing purposes only", "benchmark use only", "training is not licensed", "training not authorised",
    "Do not use for training!", "do not train", "don't train on this", "Apache-2.0 (training excluded)",
    "without the right to train models",
]
DERIVATIVES = ["CC-BY-ND-4.0", "CC BY-NC-ND 4.0", "cc_by_nd", "by-nc-nd", "no derivatives", "No Derivatives for ML",
               "no-derivatives", "NoDerivatives", "no derivative works", "NoDerivs 3.0"]
ALLOWS = [
    "", "MIT", "Apache-2.0", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "ODC-BY",
    "gpl-3.0", "llama3.1", "other", "unknown", "proprietary", "not stated", "BSD-3-Clause-No-Nuclear-License",
    "training is allowed", "training allowed", "may be used for training", "may be used to train models",
    "distillation is permitted", "for training only", "free for training and distillation",
    "no restrictions on training", "training without restrictions", "no attribution required, training allowed",
    "Training permitted; no warranty", "training is not forbidden", "does not prohibit training",
    "training is not restricted", "not limited to training", "No warranty. May be used for training",
    "you need no permission to train", "no fee for training", "not only training", "non-commercial",
    "non-commercial training allowed", "not for commercial use", "not for commercial training",
    "commercial training is prohibited", "research only", "for research use only", "academic use only",
    "open training data", "derivatives allowed", "share alike, derivative works must carry the same licence",
    "trained on public data", "constraint-free", "piano training material", "casino training",
    "Mixed: no claim is made about the sources", "train split of GSM8K, MIT", "MIT, not AI-generated",
]


def forbids(text: str) -> str | None:
    return validate({"name": "r", "problems": ["worlds"], "teacher": "scripted"}, "the test").forbids(text)


@pytest.mark.parametrize("text", FORBIDS)
def test_what_forbids_training_is_read_as_such(text: str) -> None:
    assert forbids(text) == "no training"


@pytest.mark.parametrize("text", DERIVATIVES)
def test_what_forbids_derivatives_is_read_as_such(text: str) -> None:
    assert forbids(text) in ("no derivatives", "no training")


@pytest.mark.parametrize("text", ALLOWS)
def test_what_allows_it_or_says_nothing_of_it_is_left_alone(text: str) -> None:
    assert forbids(text) is None


@pytest.mark.parametrize("says", [says for _, says in KNOWN])
def test_the_terms_of_the_known_teachers_forbid_it(says: str) -> None:
    assert forbids(says) == "no training"


@pytest.mark.parametrize(("text", "noted"), [
    ("CC-BY-NC-4.0", True), ("Non-commercial", True), ("noncommercial", True), ("not for commercial use", True),
    ("research only", True), ("for research purposes only", True), ("academic use only", True),
    ("only for non-profit research", True), ("research and education only", True), ("MIT", False), ("CC-BY-4.0", False),
    ("commercial use allowed", False), ("research code, MIT", False)])
def test_what_is_for_some_uses_only_is_noted(text: str, noted: bool) -> None:
    assert bool(NON_COMMERCIAL.search(text)) == noted
