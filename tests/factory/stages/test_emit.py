"""datasets: opened by everybody's reader, whole at every moment, and without a reference in any row."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest

from factory.lake import Lake
from factory.protocols import UserError
from factory.run import Run
from factory.stages import choose, emit
from factory.stages.dataset_files import Files

Make = Callable[..., Run]

SFT = {"name": "sft", "selector": "shortest", "emitter": "sft"}
DPO = {"name": "dpo", "selector": "pairs", "emitter": "dpo"}


def made(run: Run) -> dict[str, Path]:
    return emit.emit(run, choose.choose(run))


def opened(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    return [dict(row) for row in datasets.load_from_disk(str(folder))[split]]


@pytest.mark.parametrize("spec", [SFT, DPO], ids=["sft", "dpo"])
def test_both_readers_of_datasets_open_it(judged: Make, spec: dict[str, str], tmp_path: Path) -> None:
    [folder] = made(judged(datasets=[spec])).values()
    other = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"), split="train")
    assert [dict(row) for row in other] == opened(folder)
    assert len(other) > 0


def test_the_parquet_files_hold_the_same_rows(judged: Make) -> None:
    [folder] = made(judged(datasets=[SFT])).values()
    assert pq.read_table(folder / "data" / "train").to_pylist() == opened(folder)


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


@pytest.mark.parametrize("moment", ["the files", "the swap", "the table"])
def test_a_crash_leaves_the_old_dataset_or_the_new_one(judged: Make, monkeypatch: pytest.MonkeyPatch,
                                                       moment: str) -> None:
    old = judged(datasets=[SFT], rules={"first": "sample < 1"})
    [folder] = made(old).values()
    before = opened(folder)
    new = judged(datasets=[SFT])
    with monkeypatch.context() as dying:
        if moment == "the files":
            dying.setattr(Files, "close", _die)
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
    [folder] = made(judged(datasets=[SFT], rules={"never": "length(raw) < 0"})).values()
    assert "the dataset 'sft' is empty (16 never)" in capsys.readouterr().out
    found = datasets.load_from_disk(str(folder))["train"]
    assert (len(found), found.column_names) == (0, ["messages", "trace_id", "problem_id"])


def test_an_emitter_that_does_not_fit_its_selector_is_one_sentence(judged: Make) -> None:
    with pytest.raises(UserError, match=r"the emitter 'dpo': the pick of .* has no rejected trace.*: choose with"):
        made(judged(datasets=[{"name": "x", "selector": "shortest", "emitter": "dpo"}]))


def test_the_card_names_teacher_rules_and_licences(judged: Make, source: Callable[..., dict[str, Any]]) -> None:
    [folder] = made(judged(problems=[source(licence="CC0-1.0")], datasets=[SFT], rules={"any": "true"})).values()
    card = (folder / "README.md").read_text()
    assert all(text in card for text in ("CC0-1.0", '{"any":"true"}', '"plugin":"scripted"'))


def test_a_dataset_that_was_not_made_is_named(judged: Make) -> None:
    with pytest.raises(UserError, match="the dataset 'sft' of 'small' was not made yet"):
        emit.dataset_folder(judged(datasets=[SFT]), "sft")


# -- what is beside the rows -----------------------------------------------------------------------------------------


def test_the_card_has_the_funnel_the_sources_the_audit_and_the_cost(judged: Make, source: Callable[..., dict[str, Any]]
                                                                    ) -> None:
    run = judged(problems=[source(licence="CC0-1.0", source="a | b")], datasets=[SFT], rules={"first": "sample < 1"})
    [folder] = made(run).values()
    card = (folder / "README.md").read_text()
    rows = len(opened(folder))
    assert card.startswith("---\nlicense: cc0-1.0\nconfigs:\n")
    for line in ("| problems | 4 |", "| asked | 16 |", "| answered | 16 |", "| dropped: first | 12 |",
                 f"| chosen | {rows} |", f"| rows in train | {rows} |", f"| a \\| b | CC0-1.0 | {rows} |"):
        assert line in card
    assert "Not checked: the recipe names no student or template" in card
    assert re.search(r"- [\d,]+ completion tokens bought, \$0\.00", card)
    assert "- 0 chosen traces have over 4,096 tokens with their prompt" in card


def test_the_manifest_has_the_digest_of_every_file(judged: Make) -> None:
    [folder] = made(judged(datasets=[SFT])).values()
    manifest = json.loads((folder / "manifest.json").read_text())
    parquet = "data/train/part-00000.parquet"
    assert set(manifest) == {"README.md", parquet, "dataset_dict.json", "train/data-00000-of-00001.arrow",
                             "train/state.json", "train/dataset_info.json"}
    for name, entry in manifest.items():
        assert entry["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert manifest[parquet]["rows"] == len(opened(folder))


def test_a_prompt_is_on_one_side_of_a_split(judged: Make, source: Callable[..., dict[str, Any]], tmp_path: Path
                                            ) -> None:
    rows = [(f"Compute {a} + 1.{' ' * twin}", f"{a + 1 + twin}") for a in range(20) for twin in (0, 1)]
    spec = {**SFT, "selector": "everything_correct", "test_share": 0.5}
    [folder] = made(judged(problems=[source(rows)], datasets=[spec])).values()
    sides = [{row["messages"][0]["content"].strip() for row in opened(folder, split)} for split in ("train", "test")]
    assert sides[0] and sides[1] and not sides[0] & sides[1]
    both = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(found) for split, found in both.items()} == {
        split: len(opened(folder, split)) for split in ("train", "test")}


def test_a_problem_has_one_row_of_an_emitter_of_problems_whatever_its_picks(
        judged: Make, source: Callable[..., dict[str, Any]]) -> None:
    run = judged(datasets=[{"name": "rl", "selector": "everything_correct", "emitter": "rl_prompts"}])
    rows = opened(made(run)["rl"])
    picks = run.lake.sql("SELECT count(*), count(DISTINCT t.problem_id) FROM picks k JOIN traces t ON t.id = k.chosen")
    [(chosen, problems)] = picks.fetchall()
    assert chosen > problems == len(rows) == len({row["problem_id"] for row in rows}) > 0
    reasons = run.lake.sql("SELECT count(*) FROM drops WHERE reason = 'its problem has a row already'").fetchall()
    assert reasons == [(chosen - problems,)]


def test_an_emitter_may_give_several_rows_add_columns_and_write_files(judged: Make, private: Callable[[str, str], str]
                                                                      ) -> None:
    name = private("double", """
def double(pick):
    return [{"trace_id": pick.chosen.trace_id, "side": side, "status": pick.chosen.status} for side in "ab"]
def problem_columns(problem):
    return {"verifier": problem.verifier}
def extra_files(rows, name):
    return {"names.txt": name + " " + " ".join(row["side"] for row in rows)}
""")
    [folder] = made(judged(datasets=[{**SFT, "emitter": name}])).values()
    rows = opened(folder)
    assert [row["side"] for row in rows] == ["a", "b"] * (len(rows) // 2)
    assert {(row["status"], row["verifier"]) for row in rows} == {("correct", "exact_match")}
    assert (folder / "names.txt").read_text() == "sft " + " ".join(row["side"] for row in rows)


def test_rows_of_different_columns_are_one_sentence(judged: Make, private: Callable[[str, str], str]) -> None:
    name = private("odd", "def odd(pick):\n    return [{'a': 1}, {'a': 'one'}]\n")
    with pytest.raises(UserError, match=r"rows that do not fit in one table .*: give every row the same columns"):
        made(judged(datasets=[{**SFT, "emitter": name}]))


# -- the round trip --------------------------------------------------------------------------------------------------

KEEPS = ("{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}"
         "{% if add_generation_prompt %}[assistant]{% endif %}")
CUTS = KEEPS.replace("m.content", "m.content.split('</think>')[-1]")
SOME = "{% if '1 + 2' in messages[0].content %}{{ raise_exception('no ones') }}{% endif %}" + KEEPS


@pytest.fixture
def template(tmp_path: Path) -> Callable[[str], str]:
    pytest.importorskip("transformers", reason="the round trip needs the extra [train]")

    def write(text: str) -> str:
        (tmp_path / "template.jinja").write_text(text)
        return str(tmp_path / "template.jinja")
    return write


@pytest.mark.parametrize("spec", [SFT, DPO], ids=["sft", "dpo"])
def test_rows_that_come_through_the_template_stay(judged: Make, spec: dict[str, str], template: Callable[[str], str]
                                                  ) -> None:
    run = judged(datasets=[{**spec, "template": template(KEEPS)}])
    [folder] = made(run).values()
    assert len(opened(folder)) == run.lake.value("SELECT count(*) FROM picks") > 0
    assert f"{len(opened(folder))} rows were rendered with the chat template of" in (folder / "README.md").read_text()


def test_a_row_that_does_not_come_through_is_set_aside_with_the_reason(judged: Make, template: Callable[[str], str]
                                                                       ) -> None:
    run = judged(datasets=[{**SFT, "selector": "everything_correct", "template": template(SOME)}])
    [folder] = made(run).values()
    left = dict(run.lake.sql("SELECT trace_id, reason FROM drops WHERE reason LIKE 'round trip: %'").fetchall())
    kept = {row["trace_id"] for row in opened(folder)}
    assert kept and left and not kept & set(left)
    assert kept | set(left) == {row[0] for row in run.lake.sql("SELECT chosen FROM picks").fetchall()}
    assert all("the template refuses it: " in reason and "no ones" in reason for reason in left.values())
    assert f"| {len(left)} |" in (folder / "README.md").read_text()


def test_a_template_that_deletes_thinking_leaves_nothing_and_says_so(
        judged: Make, template: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    run = judged(datasets=[{**SFT, "template": template(CUTS)}])
    [folder] = made(run).values()
    assert opened(folder) == []
    assert "round trip: the template deletes the thinking" in capsys.readouterr().out


def test_another_template_makes_another_dataset_of_the_same_picks(judged: Make, template: Callable[[str], str]) -> None:
    spec = {**SFT, "template": template(CUTS)}
    run = judged(datasets=[spec])
    made(run)
    template(KEEPS)
    [folder] = made(run).values()
    assert len(opened(folder)) > 0
    assert run.lake.value("SELECT count(*) FROM selections") == 1
    assert run.lake.value("SELECT count(*) FROM datasets") == 2


def test_check_finds_a_template_that_deletes_thinking_before_anything_runs(make_run: Make,
                                                                          template: Callable[[str], str]) -> None:
    run = make_run(datasets=[{**SFT, "template": template(CUTS)}, {**DPO, "template": "none"}])
    with pytest.raises(UserError, match=r"no row of the dataset 'sft' would come through .*: the template deletes the "
                                        r"thinking; set datasets.template to a file"):
        emit.check_template(run.recipe, run.recipe.datasets[0])
    assert emit.check_template(run.recipe, run.recipe.datasets[1]) == "no chat template to come through"


def test_a_trace_without_a_step_that_can_be_judged_is_no_row_of_steps_and_says_why(judged: Make) -> None:
    run = judged(datasets=[{"name": "steps", "selector": "everything_correct", "emitter": "process_reward"}])
    [selection] = choose.choose(run).values()
    chosen = [row[0] for row in run.lake.sql("SELECT chosen FROM picks ORDER BY 1").fetchall()]
    run.lake.append("steps", [dict(id="s", trace_id=chosen[0], index=0, kind="labelled", text="So.", value=1.0)])
    [folder] = emit.emit(run, {"steps": selection}).values()
    assert [(row["trace_id"], row["completions"], row["labels"]) for row in opened(folder)] == [
        (chosen[0], ["So."], [True])]
    assert run.lake.sql("""SELECT trace_id, d.selection FROM drops d WHERE reason = 'no step of it can be judged'
        ORDER BY 1""").fetchall() == [(trace, emit.written(folder)) for trace in chosen[1:]]
