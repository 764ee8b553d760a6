"""datasets: opened by everybody's reader, whole at every moment, and without a reference in any row."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from factory.lake import Lake
from factory.protocols import UserError
from factory.run import Run
from factory.stages import choose, emit

Make = Callable[..., Run]

SFT = {"name": "sft", "selector": "shortest", "emitter": "sft"}
DPO = {"name": "dpo", "selector": "pairs", "emitter": "dpo"}


def made(run: Run) -> dict[str, Path]:
    return emit.emit(run, choose.choose(run))


def opened(folder: Path) -> list[dict[str, Any]]:
    return [dict(row) for row in datasets.load_from_disk(str(folder))["train"]]


@pytest.mark.parametrize("spec", [SFT, DPO], ids=["sft", "dpo"])
def test_both_readers_of_datasets_open_it(judged: Make, spec: dict[str, str], tmp_path: Path) -> None:
    [folder] = made(judged(datasets=[spec])).values()
    other = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"), split="train")
    assert [dict(row) for row in other] == opened(folder)
    assert len(other) > 0


def test_a_row_is_the_raw_text_of_a_correct_trace(judged: Make) -> None:
    run = judged(datasets=[SFT])
    [folder] = made(run).values()
    raw = dict(run.lake.sql("SELECT t.id, raw FROM traces t JOIN judged v ON v.trace_id = t.id "
                            "WHERE v.status = 'correct'").fetchall())
    for row in opened(folder):
        assert row["messages"][-1] == {"role": "assistant", "content": raw[row["trace_id"]]}


def test_a_preference_has_a_correct_and_a_wrong_side_of_one_problem(judged: Make) -> None:
    run = judged(datasets=[DPO])
    [folder] = made(run).values()
    status = dict(run.lake.sql("SELECT trace_id, status FROM judged").fetchall())
    rows = opened(folder)
    assert {(status[row["trace_id"]], status[row["rejected_id"]]) for row in rows} == {("correct", "wrong")}


def test_no_reference_and_no_other_secret_is_in_a_row(judged: Make, source: Callable[..., dict[str, Any]]) -> None:
    secret = [(f"Compute {a} + 1.", f"SECRET{a}") for a in range(4)]
    run = judged(problems=[source(secret, verifier="exact_match")], datasets=[SFT, DPO])
    run.lake.append("verdicts", [dict(id=f"v{i}", trace_id=name, verifier="exact_match", version=9,
                                      status="correct" if i % 2 else "wrong", answer="SECRET")
                                 for i, name in enumerate(sorted(run.lake.ids("traces")))])
    folders = made(run)
    assert "SECRET" not in json.dumps([opened(folder) for folder in folders.values()])
    assert set(opened(folders["sft"])[0]) == {"messages", "trace_id", "problem_id"}
    for folder in folders.values():
        assert not [file for file in folder.rglob("*") if file.is_file() and b"SECRET" in file.read_bytes()]


def test_emitting_again_writes_nothing(judged: Make) -> None:
    run = judged(datasets=[SFT])
    [folder] = made(run).values()
    stamp = (folder / "factory.json").stat().st_mtime_ns
    made(run)
    assert (folder / "factory.json").stat().st_mtime_ns == stamp
    assert run.lake.value("SELECT count(*) FROM datasets") == 1


def test_the_same_traces_give_the_same_rows_in_the_same_order(judged: Make, tmp_path: Path) -> None:
    one, other = judged(datasets=[SFT, DPO]), judged(datasets=[SFT, DPO], on=Lake(tmp_path / "other"))
    pairs = zip(made(one).values(), made(other).values(), strict=True)
    assert all(opened(a) == opened(b) for a, b in pairs)
    digests = [run.lake.rows("SELECT id, selection, digest FROM datasets ORDER BY id") for run in (one, other)]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("moment", ["save_to_disk", "the swap", "the table"])
def test_a_crash_leaves_the_old_dataset_or_the_new_one(judged: Make, monkeypatch: pytest.MonkeyPatch,
                                                       moment: str) -> None:
    old = judged(datasets=[SFT], rules={"first": "sample < 1"})
    [folder] = made(old).values()
    before = opened(folder)
    new = judged(datasets=[SFT])
    with monkeypatch.context() as dying:
        if moment == "save_to_disk":
            dying.setattr(datasets.DatasetDict, "save_to_disk", _die)
        elif moment == "the swap":
            dying.setattr(Path, "rename", _die_renaming_a_dataset)
        else:
            dying.setattr(Lake, "append_new", _die_noting_a_dataset)
        with pytest.raises(KeyboardInterrupt):
            made(new)
    left = opened(folder) if folder.exists() else None
    assert left is None or left == before or len(left) > len(before)
    made(new)
    assert len(opened(folder)) > len(before)
    assert sorted(p.name for p in folder.parent.iterdir()) == ["sft"]
    assert new.lake.value("SELECT count(*) FROM datasets WHERE run_id = $1", [new.id]) == 1


def _die(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def _die_renaming_a_dataset(path: Path, target: Path, really: Any = Path.rename) -> Any:
    if path.name == ".sft.tmp":
        raise KeyboardInterrupt
    return really(path, target)


def _die_noting_a_dataset(lake: Lake, table: str, rows: Any, really: Any = Lake.append_new) -> Any:
    if table == "datasets":
        raise KeyboardInterrupt
    return really(lake, table, rows)


def test_an_empty_dataset_says_why_and_opens(judged: Make, capsys: pytest.CaptureFixture[str]) -> None:
    [folder] = made(judged(datasets=[SFT], rules={"never": "false"})).values()
    assert "the dataset 'sft' is empty (16 never)" in capsys.readouterr().out
    found = datasets.load_from_disk(str(folder))["train"]
    assert (len(found), found.column_names) == (0, ["messages", "trace_id", "problem_id"])


def test_an_emitter_that_does_not_fit_its_selector_is_one_sentence(judged: Make) -> None:
    with pytest.raises(UserError, match=r"the emitter 'dpo': the pick of .* has no rejected trace: choose with"):
        made(judged(datasets=[{"name": "x", "selector": "shortest", "emitter": "dpo"}]))


def test_the_card_names_teacher_rules_and_licences(judged: Make, source: Callable[..., dict[str, Any]]) -> None:
    [folder] = made(judged(problems=[source(licence="CC0-1.0")], datasets=[SFT], rules={"any": "true"})).values()
    card = (folder / "README.md").read_text()
    assert all(text in card for text in ("CC0-1.0", '{"any":"true"}', '"plugin":"scripted"'))


def test_a_dataset_that_was_not_made_is_named(judged: Make) -> None:
    with pytest.raises(UserError, match="the dataset 'sft' of 'small' was not made yet"):
        emit.dataset_folder(judged(datasets=[SFT]), "sft")
