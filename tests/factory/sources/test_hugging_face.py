"""`datasets` is used for real on local folders; the network is never touched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from factory.protocols import BadRow, UserError
from factory.records import Problem
from factory.sources.hugging_face import hugging_face


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/train.jsonl").write_text(
        '{"question": "1+1?", "answer": "1+1=2 #### 2"}\n{"question": "2+2?", "answer": null}\n')
    return tmp_path / "set"


@pytest.mark.parametrize("streaming", [True, False])
def test_a_local_folder_loads_streamed_or_not(folder: Path, streaming: bool) -> None:
    good, bad = hugging_face(dataset=str(folder), streaming=streaming, reference_after="####",
                             columns={"prompt": "question", "reference": "answer"})
    assert good == Problem("1+1?", "2")
    assert isinstance(bad, BadRow) and bad.where == f"{folder} row 2"


def test_an_unknown_split_is_answered_with_those_that_are_there(folder: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be opened.*train"):
        hugging_face(dataset=str(folder), hf_split="tset")


def test_a_missing_column_names_those_that_are_there(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no column 'prompt' for prompt.*question, answer"):
        list(hugging_face(dataset=str(folder)))


def test_a_file_is_sent_to_the_source_for_files(folder: Path) -> None:
    with pytest.raises(UserError, match="is a file: give its folder, or use the source jsonl"):
        hugging_face(dataset=str(folder / "train.jsonl"))


def test_what_cannot_be_opened_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach 'a/b' on the Hub\nand a long tail")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(UserError, match="'a/b' cannot be opened") as error:
        hugging_face(dataset="a/b")
    assert "\n" not in str(error.value) and "hf auth login" in str(error.value)


def test_a_stream_that_breaks_does_not_pass_for_the_end_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(*_: Any, **__: Any) -> Iterator[dict[str, str]]:
        yield {"prompt": "1+1?", "reference": "2"}
        raise ConnectionError("reset by peer")

    monkeypatch.setattr(datasets, "load_dataset", breaking)
    with pytest.raises(UserError, match="broke off after row 1"):
        list(hugging_face(dataset="a/b"))


@pytest.mark.parametrize(("header", "keys", "said"), [
    ("license: cc-by-nd-4.0", {}, "cc-by-nd-4.0"), ("license: [mit, odc-by]", {}, "mit, odc-by"),
    ("license: mit", {"licence": "mine"}, "mine"), ("tags: [maths]", {}, ""), ("license: {", {}, "")])
def test_a_licence_that_nobody_states_is_that_of_the_card(folder: Path, header: str, keys: dict[str, str], said: str
                                                          ) -> None:
    (folder / "README.md").write_text("# None\n" if "{" in header else f"---\n{header}\n---\n# A set\n")
    problem = next(hugging_face(dataset=str(folder), columns={"prompt": "question", "reference": "answer"}, **keys))
    assert isinstance(problem, Problem) and problem.licence == said
