"""Which teachers the table knows: closed ones and old licences, and none of those that allow it."""

import pytest

from factory.terms import known


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
