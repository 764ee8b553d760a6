"""A bad line costs itself alone and says why; a mistake in the recipe is one sentence with the right names."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from factory.protocols import BadRow, UserError
from factory.records import Problem
from factory.sources.jsonl import jsonl

GSM8K = Path(__file__).parents[4] / "shared/data/problems/gsm8k_test.jsonl.gz"
GOOD = b'{"prompt": "1+1?", "reference": "2"}\n'


def load(folder: Path, content: bytes, **keys: Any) -> list[Problem | BadRow]:
    file = folder / "p.jsonl"
    file.write_bytes(content)
    return list(jsonl(path=file, **keys))


def row(**cells: Any) -> bytes:
    return json.dumps({"prompt": "1+1?", "reference": "2", **cells}).encode() + b"\n"


def only(items: list[Problem | BadRow]) -> Problem:
    [problem] = items
    assert isinstance(problem, Problem)
    return problem


def test_a_line_is_a_problem(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD) == [Problem("1+1?", "2")]


@pytest.mark.parametrize(("line", "reason"), [
    (b'{"prompt": "torn', "not JSON"),
    (b"[1, 2]", "a list, not an object"),
    (b'{"prompt": "\xff", "reference": "2"}', "not valid UTF-8"),
    (b'{"prompt": "\\ud800", "reference": "2"}', "not valid UTF-8"),
    (b'{"prompt": "1+1?"}', "'reference' is missing or empty"),
    (b'{"prompt": "1+1?", "reference": null}', "'reference' is missing or empty"),
    (b'{"prompt": " ", "reference": "2"}', "'prompt' is missing or empty"),
    (b'{"prompt": ["1+1?"], "reference": "2"}', "'prompt' is a list, not text"),
    (b"[" * 100_000, "not JSON"),
    (b'{"prompt": "big", "reference": ' + b"9" * 5000 + b"}", "not JSON"),
])
def test_a_bad_line_is_yielded_with_its_place_and_the_others_load(tmp_path: Path, line: bytes, reason: str) -> None:
    first, bad, last = load(tmp_path, GOOD + line + b"\n" + GOOD)
    assert first == last == Problem("1+1?", "2")
    assert isinstance(bad, BadRow) and bad.where == f"{tmp_path / 'p.jsonl'} line 2" and reason in bad.reason


def test_a_byte_order_mark_blank_lines_and_a_missing_last_newline_are_no_fault(tmp_path: Path) -> None:
    assert len([p for p in load(tmp_path, b"\xef\xbb\xbf" + GOOD + b"\r\n\n" + GOOD.strip())
                if isinstance(p, Problem)]) == 2


def test_a_file_that_is_one_array_is_read_item_by_item(tmp_path: Path) -> None:
    items = b"[\n" + GOOD.strip() + b",\n 7,\n" + GOOD + b"]\n"
    first, bad, last = load(tmp_path, b"\xef\xbb\xbf" + items)
    assert first == last == Problem("1+1?", "2")
    assert isinstance(bad, BadRow) and str(bad) == f"{tmp_path / 'p.jsonl'} item 2: a int, not an object"
    torn = load(tmp_path, items[:40])
    assert torn and all(isinstance(one, BadRow) for one in torn)


def test_columns_name_theirs_for_ours(tmp_path: Path) -> None:
    line = b'{"question": "1+1?", "gold": 2, "kind": "sums"}'
    found = load(tmp_path, line, columns={"prompt": "question", "reference": "gold", "domain": "kind"}, split="test")
    assert found == [Problem("1+1?", "2", domain="sums", split="test")]


@pytest.mark.parametrize(("value", "text"), [
    (2, "2"), (2.5, "2.5"), (True, "true"), ([1, "é"], '[1, "é"]'), ({"kind": "asserts"}, '{"kind": "asserts"}'),
])
def test_a_reference_that_is_no_string_becomes_its_json_text(tmp_path: Path, value: Any, text: str) -> None:
    assert only(load(tmp_path, row(reference=value))).reference == text


def test_a_column_named_like_a_field_fills_it_unless_the_recipe_says_otherwise(tmp_path: Path) -> None:
    line = row(verifier="code_tests", split="test")
    assert only(load(tmp_path, line)).verifier == "code_tests"
    assert only(load(tmp_path, line)).split == "test"
    assert only(load(tmp_path, line, verifier="exact_match")).verifier == "exact_match"
    assert only(load(tmp_path, line, verifier="exact_match", columns={"verifier": "verifier"})).verifier == "code_tests"


def test_prefix_and_suffix_surround_the_prompt(tmp_path: Path) -> None:
    assert only(load(tmp_path, GOOD, prefix="Q: ", suffix="\nBox it.")).prompt == "Q: 1+1?\nBox it."


def test_meta_keeps_the_listed_columns_and_no_others(tmp_path: Path) -> None:
    line = row(level=3, solution="1+1=2")
    assert only(load(tmp_path, line)).meta == "{}"
    assert json.loads(only(load(tmp_path, line, meta=["level"])).meta) == {"level": 3}


def test_the_reference_is_what_follows_the_last_marker(tmp_path: Path) -> None:
    items = load(tmp_path, row(reference="2 #### no\n#### 18\n") + row(reference="18"), reference_after="####")
    assert isinstance(items[0], Problem) and items[0].reference == "18"
    assert isinstance(items[1], BadRow) and "####" in items[1].reason


def test_a_limit_counts_problems_and_not_bad_lines(tmp_path: Path) -> None:
    assert [type(i) for i in load(tmp_path, GOOD + b"{\n" + GOOD + GOOD, limit=2)] == [Problem, BadRow, Problem]


def test_a_column_that_no_row_has_is_the_recipes_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no column 'question' for prompt.*it has prompt, reference"):
        load(tmp_path, b"{torn\n" + GOOD * 101, columns={"prompt": "question"})
    with pytest.raises(UserError, match="no column 'level' for meta"):
        load(tmp_path, GOOD, meta=["level"])


def test_a_column_that_only_a_later_row_has_is_there(tmp_path: Path) -> None:
    items = load(tmp_path, b'{"prompt": "?"}\n' * 99 + GOOD)
    assert sum(isinstance(i, BadRow) for i in items) == 99 and items[-1] == Problem("1+1?", "2")


@pytest.mark.parametrize(("keys", "message"), [
    ({"columns": {"id": "id"}}, "no field 'id': use prompt, reference"),
    ({"meta": "level"}, "meta must be a list"),
    ({"limit": 0}, "limit is 0"),
])
def test_a_mistaken_key_is_refused_before_a_row_is_read(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(tmp_path, GOOD, **keys)


def test_a_missing_file_is_answered_with_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(GOOD)
    with pytest.raises(UserError, match=r"no file .*trian\.jsonl.*holds train\.jsonl"):
        jsonl(path=tmp_path / "trian.jsonl")


def test_an_empty_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is empty"):
        load(tmp_path, b"\n")


def test_a_gzip_cut_short_keeps_what_came_before_the_cut(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl.gz"
    file.write_bytes(gzip.compress(b"".join(row(reference=f"{n * n}") for n in range(5000)))[:-100])
    *good, bad = jsonl(path=file)
    assert len(good) > 1000 and all(isinstance(p, Problem) for p in good)
    assert isinstance(bad, BadRow) and "from here on" in bad.reason


@pytest.mark.skipif(not GSM8K.exists(), reason="the shared data folder is not here")
def test_gsm8k_loads_whole() -> None:
    items = list(jsonl(path=GSM8K, columns={"prompt": "problem", "reference": "answer"}, licence="MIT"))
    assert len(items) == 1319 and all(isinstance(p, Problem) for p in items)
    first = items[0]
    assert isinstance(first, Problem) and (first.reference, first.source, first.domain) == ("18", "gsm8k", "math")
