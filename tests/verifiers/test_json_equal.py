"""JSON answers, and what all the small verifiers that read JSON references must survive."""

import time

import pytest

from verifiers.json_equal import json_equal
from verifiers.lookup import load


@pytest.mark.parametrize(
    ("response", "reference"),
    [
        ("[4, 1, 2, 0]", "[4,1,2,0]"),
        ("['a', \"it's\", None, True, (1, 2),]", '["a", "it\'s", null, true, [1, 2]]'),
        (r"['say \"hi\"', 'it\'s']", r"""["say \"hi\"", "it's"]"""),
        ('The answer is {"b": 1.0, "a": [1e2]}.', '{"a": [100], "b": 1}'),
        ('So:\n```json\n{\n  "a": {\n    "b": [1]\n  }\n}\n```\nDone.', '{"a": {"b": [1]}}'),
        ('Answer:\n{\n  "a": [\n    1\n  ]\n}', '{"a": [1]}'),
        (r"\boxed{\left[1, 2\right]}", "[1, 2]"),
        (r'\boxed{\{"a": 1\}}', '{"a": 1}'),
        ("First [1], then\n[2]", "[2]"),
        ("<think>[9]</think>[1]", "[1]"),
        ("5", "5.0"),
        ("0.1", "0.10"),
    ],
)
def test_equal_values(response: str, reference: str) -> None:
    assert json_equal(response, reference).status == "correct"


@pytest.mark.parametrize(
    ("response", "reference"),
    [
        ("[1, 2]", "[2, 1]"),
        ("[1]", '["1"]'),
        ("[true]", "[1]"),
        ("[[]]", "[{}]"),
        ("[1e99999999999]", "[1e99999999998]"),
        ("[0.30000000000000004]", "[0.3]"),
        ("[9007199254740993]", "[9007199254740992.0]"),
        ('{"a": 1}', '{"a": 1, "b": 2}'),
        ('{"a": null}', '{"b": null}'),
        ("[1]", '{"value": [1, 1], "unordered": 1}'),
    ],
)
def test_different_values(response: str, reference: str) -> None:
    assert json_equal(response, reference).status == "wrong"


def test_order_is_free_in_as_many_levels_as_the_reference_says() -> None:
    outer, both = '{"value": [[1, 2], ["x"]], "unordered": 1}', '{"value": [[1, 2], ["x"]], "unordered": 2}'
    assert [json_equal('[["x"], [1.0, 2]]', reference).status for reference in (outer, both)] == ["correct"] * 2
    assert [json_equal('[["x"], [2, 1]]', reference).status for reference in (outer, both)] == ["wrong", "correct"]


@pytest.mark.parametrize(
    "response",
    ["", "none", "The list has no end", "[1, 2", "[1] [", "[x]", '{"a": 1, "a": 2}', "[NaN]", "{1, 2}",
     "[1e9999999999999999999]", "[__import__('os')]", "[1]\nThe answer is unknown.", "<think>[1]"],
)  # fmt: skip
def test_no_json_is_undecided(response: str) -> None:
    assert json_equal(response, "[1]").status == "undecided"


@pytest.mark.parametrize("reference", ["", "abc", "[", "null", '{"value": [1], "unordered": "yes"}', "[" * 100_000])
def test_an_unusable_reference_is_undecided(reference: str) -> None:
    assert json_equal("[1]", reference).status == "undecided"


REFERENCES = {
    "number_game": '{"numbers": [4, 6]}',
    "letter_count": '{"word": "strawberry", "letter": "r"}',
    "decimal_compare": '{"numbers": ["9.11", "9.9"], "ask": "larger"}',
    "zebra": '{"houses": [{"Name": "Eric"}]}',
    "json_equal": "[1]",
    "yes_no": "yes",
}
HOSTILE = {
    "NUL": "Answer: \0",
    "lone surrogates": "Answer: \udc80\ud800",
    "open boxes": r"\boxed{" * 10**5,
    "nested braces": r"\boxed{" + "{" * 10**5 + "}" * 10**5 + "}",
    "nested brackets": "[" * 10**5 + "]" * 10**5,
    "nested round ones": "Answer: " + "(" * 10**5 + "1" + ")" * 10**5,
    "5 MB of digits": "Answer: " + "1" * 5_000_000,
    "5 MB in a box": r"\boxed{" + "1" * 5_000_000 + "}",
    "1 MB of words": "not a number " * 80_000,
    "5 MB of quotes": "['" * 2_500_000,
    "1 MB of fences": "```json\n[" * 110_000,
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_text_is_undecided_soon_on_either_side(name: str, hostile: str) -> None:
    verify, started = load(name), time.process_time()
    verdicts = verify(hostile, REFERENCES[name]), verify("Answer: 1", hostile)
    assert [verdict.status for verdict in verdicts] == ["undecided"] * 2
    assert all(verdict.reason for verdict in verdicts)
    assert time.process_time() - started < 5  # about 1 s; a quadratic search would take minutes


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("reference", ["", " ", "\0", "no answer is known", "null"])
def test_a_reference_that_is_no_answer_is_undecided(name: str, reference: str) -> None:
    assert load(name)("Answer: 1", reference).status == "undecided"
