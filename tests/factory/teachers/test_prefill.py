"""How a text is gone on from by its text: the forms of the request, and what is new in the reply."""

import pytest

from factory.protocols import UserError
from factory.records import Completion
from factory.teachers import _prefill
from factory.teachers.openai_api import openai_api

ASKED = [{"role": "user", "content": "2+2?"}]


def reply(raw: str) -> Completion:
    return Completion("", "", raw, "stop")


@pytest.mark.parametrize(("form", "written", "last", "flags"), [
    ("continue_final_message", "<think>two and", {"content": "<think>two and"},
     {"continue_final_message": True, "add_generation_prompt": False}),
    ("assistant", "It is", {"content": "It is"}, {}),
    ("prefix", "It is", {"content": "It is", "prefix": True}, {}),
    ("prefix", "<think>two and", {"content": "", "prefix": True, "reasoning_content": "two and"}, {}),
    ("prefix", "<think>two and</think>\n\n", {"content": "\n\n", "prefix": True, "reasoning_content": "two and"}, {}),
])
def test_the_forms_of_a_request(form: str, written: str, last: dict[str, object], flags: dict[str, object]) -> None:
    body = _prefill.body(form, ASKED, written)
    assert body == {"messages": [*ASKED, {"role": "assistant", **last}], **flags}


@pytest.mark.parametrize(("written", "raw", "new"), [
    ("<think>two and", " two</think>4", " two</think>4"),
    ("<think>two and", "<think> two</think>4", " two</think>4"),  # told apart, and joined by us
    ("<think>two and", "<think>two and two</think>4", " two</think>4"),  # repeated, as Mistral's does
    ("It is", "It is 4", " 4"),
    ("It is", " 4", " 4"),
])
def test_what_is_new_in_a_reply(written: str, raw: str, new: str) -> None:
    assert _prefill.fresh(reply(raw), written).raw == new


def test_the_limit_keeps_its_name() -> None:
    assert _prefill.limited({"max_completion_tokens": 5}, {"max_tokens": 9}) == {"max_completion_tokens": 9}
    assert _prefill.limited({"max_tokens": 5}, {}) == {"max_tokens": 5}


def test_a_form_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match=r"teacher\.prefill is 'suffix': write one of continue_final_message, prefix"):
        openai_api(model="m", prefill="suffix")
