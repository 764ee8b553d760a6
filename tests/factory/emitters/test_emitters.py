"""A row is what a trainer reads: the question as asked, the answer as it came, and the ids to find them by."""

import json

import pytest

from factory.emitters.dpo import dpo
from factory.emitters.sft import sft
from factory.records import Candidate, Pick

RAW = "<think>\n1+1\n</think>\n\nIt is  2. "
CHOSEN = Candidate("t1", "p", "1+1?", RAW, "1+1", "It is 2.", "correct", "2", 9)
REJECTED = Candidate("t2", "p", "1+1?", "It is 3.", "", "It is 3.", "wrong", "3", 4)


def test_sft_is_the_question_and_the_raw_answer_verbatim() -> None:
    assert sft(Pick(CHOSEN, None, "")) == {
        "messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": RAW}],
        "trace_id": "t1", "problem_id": "p"}


def test_dpo_is_one_question_with_both_answers() -> None:
    assert dpo(Pick(CHOSEN, REJECTED, "")) == {
        "prompt": [{"role": "user", "content": "1+1?"}], "chosen": [{"role": "assistant", "content": RAW}],
        "rejected": [{"role": "assistant", "content": "It is 3."}],
        "trace_id": "t1", "rejected_id": "t2", "problem_id": "p"}


def test_the_asked_text_can_be_reproduced() -> None:
    asked = [{"role": "system", "content": "Think."}, {"role": "user", "content": "Q: 1+1? Box it."}]
    pick = Pick(CHOSEN, REJECTED, "")
    assert sft(pick, system="Think.", prefix="Q: ", suffix=" Box it.")["messages"][:2] == asked
    assert dpo(pick, system="Think.", prefix="Q: ", suffix=" Box it.")["prompt"] == asked


def test_dpo_refuses_a_pick_without_a_rejected_trace() -> None:
    with pytest.raises(ValueError, match="choose with `pairs`"):
        dpo(Pick(CHOSEN, None, ""))


def test_rows_are_json() -> None:
    for row in (sft(Pick(CHOSEN, None, "")), dpo(Pick(CHOSEN, REJECTED, ""))):
        assert json.loads(json.dumps(row)) == row
