"""The command line: what each command prints, and one sentence with an exit code for everything that can be wrong."""

import argparse
import contextlib
import ctypes
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from factory.lake import Lake
from flows import cli

ROOT = Path(__file__).parents[2]
COT = [sys.executable, "-P", "-m", "flows.cli"]

RECIPE = """
name = "small"
measures = ["length"]
problems = [{ plugin = "jsonl", path = "PROBLEMS", verifier = "exact_match" }]
teacher = { plugin = "scripted", accuracy = 0.5 }
generate = { samples = 4 }
verify = { workers = 1 }
rules = { short = "length < 3000" }

[[datasets]]
name = "sft"
selector = "shortest"
emitter = "sft"

[[datasets]]
name = "dpo"
selector = "pairs"
emitter = "dpo"
"""


def write_recipe(folder: Path, text: str = RECIPE, problems: str | None = None) -> Path:
    """A recipe with four problems beside it, or with what `problems` holds."""
    lines = [json.dumps({"prompt": f"Compute {a} + 1.", "reference": str(a + 1)}) for a in range(4)]
    (folder / "problems.jsonl").write_text("\n".join(lines) + "\n" if problems is None else problems)
    (folder / "small.toml").write_text(text.replace("PROBLEMS", str(folder / "problems.jsonl")))
    return folder / "small.toml"


def cot(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own, as from a terminal."""
    command = [*COT, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, **options)


def run(folder: Path, recipe: Path, *settings: str, **options: Any) -> subprocess.CompletedProcess[str]:
    sets = [part for setting in settings for part in ("--set", setting)]
    return cot("run", recipe, "--direct", "--lake", folder / "lake", *sets, **options)


def sentence(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The one sentence that a failed command ends with."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    *_, last = done.stderr.strip().splitlines()
    assert last.startswith("cot: ")
    assert done.stderr.count("cot: ") == 1
    return last


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe and its finished lake."""
    folder = tmp_path_factory.mktemp("place")
    done = run(folder, write_recipe(folder))
    assert done.returncode == 0, done.stderr
    (folder / "said.txt").write_text(done.stdout)
    return folder


@pytest.fixture
def ask(place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A reading command in this process; gives back what it prints."""
    def asked(*arguments: str) -> str:
        assert cli.main([*arguments, "--lake", str(place / "lake")]) == 0
        return capsys.readouterr().out
    return asked


def first(ask: Callable[..., str], table: str) -> Any:
    return json.loads(ask("sql", f"SELECT * FROM {table} ORDER BY id", "--format", "json"))[0]


# -- what each command prints ----------------------------------------------------------------------------------------


def commands() -> list[list[str]]:
    """Every command of the parser, those below another one too."""
    found: list[list[str]] = []

    def walk(parser: argparse.ArgumentParser, path: list[str]) -> None:
        below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not below:
            found.append(path)
        for action in below:
            for name, child in action.choices.items():
                walk(child, [*path, name])
    walk(cli.parser(), [])
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_help_that_explains_each_argument(command: list[str],
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([*command, "--help"])
    assert end.value.code == 0
    assert f"usage: cot {' '.join(command)}" in capsys.readouterr().out


def test_the_commands_are_those_of_the_issue() -> None:
    assert {command[0] for command in commands()} >= {
        "run", "check", "demo", "status", "sql", "show", "verify", "train", "evaluate", "export", "schedule", "teacher",
        "report", "explain"}


def test_a_run_ends_with_the_funnel_the_datasets_and_a_picture(place: Path) -> None:
    said = (place / "said.txt").read_text()
    assert all(text in said for text in ("samples asked for", "rows in dataset 'sft'", "rows in dataset 'dpo'",
                                         f"rows in {place}/lake/datasets/small/sft", "not chosen by shortest"))
    assert (place / "lake/plots/small.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_run_makes_nothing(place: Path) -> None:
    def rows() -> list[int]:
        lake = Lake(place / "lake", create=False)
        return [len(lake.ids(table)) for table in ("problems", "traces", "verdicts", "measurements", "picks", "drops",
                                                   "selections", "datasets", "runs", "timings")]
    before = rows()
    assert run(place, place / "small.toml").returncode == 0
    assert rows() == before


def test_check_says_what_it_looked_at(place: Path) -> None:
    done = cot("check", place / "small.toml")
    assert done.returncode == 0
    assert "ok  source jsonl: its first row can be read" in done.stdout
    assert "ok  rule short: valid SQL" in done.stdout


@pytest.mark.parametrize("name", [(), ("small",)])
def test_status_is_the_report_of_the_newest_or_the_named_run(ask: Callable[..., str], name: tuple[str, ...]) -> None:
    assert ask("status", *name).startswith("run small (b1-")


def test_sql_prints_a_table_json_or_csv(ask: Callable[..., str]) -> None:
    query = "SELECT prompt, reference FROM problems ORDER BY prompt LIMIT 1"
    assert ask("sql", query).split() == ["prompt", "reference", "Compute", "0", "+", "1.", "1"]
    assert json.loads(ask("sql", query, "--format", "json")) == [{"prompt": "Compute 0 + 1.", "reference": "1"}]
    assert ask("sql", query, "--format", "csv") == "prompt,reference\nCompute 0 + 1.,1\n"
    assert ask("sql", "SELECT * FROM problems WHERE false") == "(no rows)\n"


@pytest.mark.parametrize("form", ["table", "json", "csv", "parquet"])
def test_sql_writes_a_file(ask: Callable[..., str], form: str, tmp_path: Path) -> None:
    import pandas

    assert ask("sql", "SELECT id FROM traces", "--format", form, "--out", str(tmp_path / "rows")) == ""
    if form == "parquet":
        assert len(pandas.read_parquet(tmp_path / "rows")) == 16
    else:
        assert "b1-" in (tmp_path / "rows").read_text()


def test_sql_stops_quietly_when_nobody_reads_on(place: Path) -> None:
    command = " ".join([*COT, "sql", "'SELECT raw FROM traces, range(2000)'", "--lake", str(place / "lake")])
    done = subprocess.run(f"{command} | head -1", shell=True, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr == ""


def test_show_is_readable_and_takes_the_beginning_of_an_id(ask: Callable[..., str]) -> None:
    trace = first(ask, "traces")
    shown = ask("show", trace["id"])
    assert all(text in shown for text in (trace["thinking"], trace["response"], "verdict", "── prompt ──"))
    assert ask("show", trace["id"][:20]) == ask("show", trace["id"].removeprefix("b1-")[:17]) == shown


def test_explain_says_what_became_of_a_trace(ask: Callable[..., str]) -> None:
    [trace] = json.loads(ask("sql", "select chosen from picks where dataset = 'sft' limit 1", "--format", "json"))
    said = ask("explain", trace["chosen"][:20])
    assert "  dataset sft: kept as chosen by shortest: " in said
    assert "  passes  short: length < 3000   [length = " in said


def test_report_writes_a_page_where_it_is_told_to_or_into_the_lake(ask: Callable[..., str], place: Path, tmp_path: Path
                                                                   ) -> None:
    assert ask("report", "small", "--out", str(tmp_path / "page.html")) == f"{tmp_path}/page.html\n"
    assert ask("report") == f"{place}/lake/plots/small.html\n"
    page = (tmp_path / "page.html").read_text()
    assert page == (place / "lake/plots/small.html").read_text()
    assert "<title>small</title>" in page


def test_export_copies_every_dataset_once(ask: Callable[..., str], place: Path, tmp_path: Path) -> None:
    import datasets

    said = ask("export", "small", str(tmp_path / "out"))
    assert said.splitlines()[0].startswith("sft: ")
    assert len(datasets.load_from_disk(str(tmp_path / "out/dpo"))["train"]) > 0
    again = cot("export", "small", tmp_path / "out", "--lake", place / "lake")
    assert sentence(again).endswith("is there already: remove it, or export to another folder")


@pytest.mark.slow
def test_export_refuses_a_folder_that_holds_another_runs_dataset(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    for setting in ("rules.short=sample < 4", "rules.short=sample < 2"):
        assert run(tmp_path, recipe, setting).returncode == 0
    older = Lake(tmp_path / "lake").rows("SELECT id FROM runs ORDER BY started")[0]["id"]
    done = cot("export", older, tmp_path / "out", "--lake", tmp_path / "lake")
    assert "or holds what another run of that name made: run the recipe again" in sentence(done)


# -- cot verify ------------------------------------------------------------------------------------------------------

GOOD = {"id": "a", "reference": "5", "response": "\\boxed{5}"}
BAD = {"id": "b", "reference": "5", "response": "\\boxed{6}"}


def verified(text: str, *more: str) -> tuple[int, list[dict[str, Any]], str]:
    done = cot("verify", "-", "--workers", "1", "--verifier", "exact_match", *more, input=text)
    assert "Traceback" not in done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_verify_judges_standard_input_in_order() -> None:
    code, rows, said = verified("\n".join(json.dumps(row) for row in (GOOD, BAD, GOOD)))
    assert (code, [(row["id"], row["status"]) for row in rows]) == (
        0, [("a", "correct"), ("b", "wrong"), ("a", "correct")])
    assert said.splitlines()[-1] == "2 correct, 1 wrong"


MALFORMED = ["{torn", "[1]", "7", '{"id": "x", "response": "5"}', '{"reference": "5", "response": null}', "[" * 100_000]


def test_verify_names_each_malformed_line_and_judges_the_others() -> None:
    code, rows, said = verified("\n".join([json.dumps(GOOD), *MALFORMED, json.dumps(BAD)]))
    assert code == 1
    assert [row["status"] for row in rows] == ["correct", *["undecided"] * len(MALFORMED), "wrong"]
    assert all(f"line {number}: " in said for number in range(2, 2 + len(MALFORMED)))
    assert said.splitlines()[-1] == "1 correct, 6 malformed, 1 wrong"


def test_verify_survives_any_bytes(tmp_path: Path) -> None:
    file, out = tmp_path / "rows.jsonl", tmp_path / "verdicts.jsonl"
    file.write_bytes(b'{"id": "a", "reference": "\xff", "response": "\\\\boxed{\xff}"}\n'
                     b'{"id": "\\ud800", "reference": "5", "response": "\\ud800 \\\\boxed{5}"}\n')
    assert cot("verify", file, "--out", out, "--workers", "1", "--verifier", "exact_match").returncode == 0
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["a", "\ud800"]


def test_verify_takes_the_verifier_of_a_row() -> None:
    _, rows, _ = verified(json.dumps({**GOOD, "verifier": "no_such"}))
    assert rows[0]["status"] == "undecided"
    assert "There is no verifier 'no_such'" in rows[0]["reason"]


@pytest.mark.parametrize(("arguments", "said"), [
    (["nowhere.jsonl"], "there is no file nowhere.jsonl"), (["-", "--verifier", "math"], "There is no verifier 'math'"),
    (["-", "--workers", "0"], "--workers has to be at least 1"), (["-", "--timeout", "0"], "--timeout more than 0"),
])
def test_verify_refuses_what_it_cannot_do(arguments: list[str], said: str) -> None:
    assert said in sentence(cot("verify", *arguments, input=""))


def test_verify_of_an_empty_file_is_no_success() -> None:
    assert verified("") == (1, [], "the file is empty\n")


# -- bad input: one sentence, an exit code, and nothing is lost ------------------------------------------------------

BAD_RECIPES = [  # (what is wrong, old text, new text, what the sentence says)
    ("typo", "samples", "sampels", "unknown key 'generate.sampels': did you mean 'samples'?"),
    ("plugin", '"shortest"', '"shortset"', "there is no selector 'shortset': did you mean 'shortest'?"),
    ("parameter", "accuracy", "acuracy", "the teacher 'scripted' has no parameter 'acuracy': did you mean 'accuracy'?"),
    ("value", "accuracy = 0.5", "accuracy = 5", "teacher.accuracy is 5: set a share from 0 to 1"),
    ("rule", "length < 3000", "lenght < 3000", "the rule 'short' (lenght < 3000) is not valid"),
    ("verifier", "exact_match", "exact_mtach", "there is no verifier 'exact_mtach': did you mean 'exact_match'?"),
    ("column", "verifier =", 'columns = { prompt = "question" }, verifier =',
     "has no column 'question' for prompt: name the right one in `columns` (it has prompt, reference)"),
    ("file", "problems.jsonl", "problem.jsonl", "problem.jsonl: correct `path`"),
    ("model", '{ plugin = "scripted", accuracy = 0.5 }', '{ plugin = "vllm_server", model = "data/nowhere" }',
     "data/nowhere: set teacher.model to a model's folder"),
    ("dead", '{ plugin = "scripted", accuracy = 0.5 }',
     '{ plugin = "openai_api", model = "m", base_url = "http://127.0.0.1:9/v1" }',
     "nothing answers at http://127.0.0.1:9/v1"),
    ("key", '{ plugin = "scripted", accuracy = 0.5 }',
     '{ plugin = "openai_api", model = "m", base_url = "https://example.invalid/v1", key_env = "NO_SUCH_KEY" }',
     "the environment variable NO_SUCH_KEY holds no key"),
    ("base", "[[datasets]]\nname = \"dpo\"",
     '[[students]]\nname = "s"\nbase = "data/nowhere"\ndataset = "sft"\ntrainer = "sft"\n[[datasets]]\nname = "dpo"',
     "the student 's' starts from 'data/nowhere', which is neither a model folder"),
    ("measure", '["length"]', '[{ plugin = "repetition", n = 0 }, "length"]',
     "the measure 'repetition': repetition needs n of 1 or more"),
    ("pairing", 'emitter = "sft"', 'emitter = "dpo"', "has no rejected trace, and `dpo` needs two"),
]


def with_a_vllm(folder: Path) -> dict[str, str]:
    """An environment where a `vllm` is found, so that the test says the same with and without it."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin/vllm").write_text("#!/bin/sh\nexit 1\n")
    (folder / "bin/vllm").chmod(0o755)
    return {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


@pytest.mark.parametrize(("old", "new", "said"), [row[1:] for row in BAD_RECIPES], ids=[row[0] for row in BAD_RECIPES])
def test_a_recipe_that_cannot_work_is_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    recipe = write_recipe(tmp_path)
    assert old in recipe.read_text()
    recipe.write_text(recipe.read_text().replace(old, new))
    assert said in sentence(run(tmp_path, recipe, env=with_a_vllm(tmp_path)))


def test_settings_of_a_teacher_that_is_not_scripted_are_refused() -> None:
    assert "--set is for the scripted teacher" in sentence(cot("teacher", "serve", "--set", "delay=1"))


def test_a_port_in_use_is_found_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        teacher = f'{{ plugin = "vllm_server", model = "{tmp_path}/model", port = {port} }}'
        done = run(tmp_path, write_recipe(tmp_path), f"teacher={teacher}", env=with_a_vllm(tmp_path))
    assert f"port {port} is in use" in sentence(done)


def test_a_malformed_line_is_named_by_status_and_the_others_load(tmp_path: Path) -> None:
    good = '{"prompt": "Compute 1 + 1.", "reference": "2"}\n'
    assert run(tmp_path, write_recipe(tmp_path, problems=good + "{torn\n" + good.replace("1", "3"))).returncode == 0
    told = cot("status", "--lake", tmp_path / "lake").stdout
    assert "problems set aside (1)" in told
    assert f"{tmp_path}/problems.jsonl line 2: not JSON" in told
    assert "problems                        2" in told


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, write_recipe(tmp_path, problems=""))
    assert f"{tmp_path}/problems.jsonl is empty: give a source that holds at least one row" in sentence(done)


@pytest.mark.parametrize("command", [("run", "RECIPE", "--direct"), ("status",), ("sql", "select 1"), ("show", "x")])
def test_a_lake_of_a_newer_version_is_refused(tmp_path: Path, command: Sequence[str]) -> None:
    lake = Lake(tmp_path / "lake")
    (lake.folder / "lake.json").write_text('{"version": 99}')
    recipe = str(write_recipe(tmp_path))
    done = cot(*(part.replace("RECIPE", recipe) for part in command), "--lake", lake.folder)
    assert "has version 99 and this program reads version 1: upgrade cot-factory" in sentence(done)


@pytest.mark.parametrize(("command", "said"), [
    (("status", "smal"), "there is no run 'smal' in"), (("export", "smal", "out"), "did you mean 'small'?"),
    (("show", "zzz"), "no trace begins with 'zzz'"), (("show", "b1-"), "several traces begin with 'b1-'"),
    (("sql", "select * from trace"), "the query is not valid: Catalog Error: Table with name trace does not exist!"),
    (("sql", "selct 1"), "the query is not valid: Parser Error"), (("sql", ""), "the query is empty"),
    (("sql", "select 'a'::int"), "the query is not valid: Conversion Error"),
    (("sql", "select 1", "--format", "parquet"), "name a file with --out FILE"),
    (("sql", "select 1", "--out", "/proc/no/such"), "there is no such file (/proc/no/such)"),
    (("export", "small", "hf://nobody"), "'hf://nobody' is not a repository: write hf://owner/name"),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_a_wrong_question_is_one_sentence(place: Path, command: Sequence[str], said: str) -> None:
    assert said in sentence(cot(*command, "--lake", place / "lake"))


@pytest.mark.parametrize("command", [("status",), ("sql", "select 1"), ("show", "x"), ("export", "small", "out")])
def test_reading_where_no_lake_is_makes_none(tmp_path: Path, command: Sequence[str]) -> None:
    assert "there is no lake in" in sentence(cot(*command, "--lake", tmp_path / "lake"))
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(("recipe", "said"), [
    ("nowhere.toml", "there is no recipe nowhere.toml"), ("flows", "flows is a folder"),
    ("README.md", "README.md is not valid TOML"),
])
def test_what_is_no_recipe_is_one_sentence(tmp_path: Path, recipe: str, said: str) -> None:
    assert said in sentence(run(tmp_path, Path(recipe)))


# -- no room, no right -----------------------------------------------------------------------------------------------


def test_a_lake_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lake").touch()
    assert "choose another place with --lake DIR" in sentence(run(tmp_path, write_recipe(tmp_path)))


def without_roots_right_to_write_anywhere() -> None:
    """For a child that is about to start its program: its `chmod` counts again, also when it is root's."""
    drop_from_the_bounding_set, dac_override = 24, 1  # prctl.h, capability.h
    ctypes.CDLL(None).prctl(drop_from_the_bounding_set, dac_override, 0, 0, 0)


def test_a_folder_that_we_may_not_write_to_is_refused(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    tmp_path.chmod(0o555)
    done = run(tmp_path, recipe, preexec_fn=without_roots_right_to_write_anywhere)
    tmp_path.chmod(0o755)
    assert f"no permission to write ({tmp_path}/lake" in sentence(done)


@pytest.mark.slow
def test_a_lake_that_we_may_only_read_can_be_read_and_not_run_on(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    assert run(tmp_path, recipe).returncode == 0
    folders = [path for path in (tmp_path / "lake").rglob("*") if path.is_dir()] + [tmp_path / "lake"]
    for folder in folders:
        folder.chmod(0o555)
    (tmp_path / "lake/.lock").chmod(0o444)
    done = run(tmp_path, recipe, preexec_fn=without_roots_right_to_write_anywhere)
    told = cot("status", "--lake", tmp_path / "lake", preexec_fn=without_roots_right_to_write_anywhere)
    for folder in folders:
        folder.chmod(0o755)
    assert "no permission to write" in sentence(done)
    assert (told.returncode, "rows in dataset" in told.stdout) == (0, True)


@pytest.mark.slow
def test_a_file_that_grows_too_large_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    limit = 12_000  # bytes of a file: room for the tables and for any one trace, not for a journal of three
    long = ("generate.samples=40", "teacher.steps=60")
    done = run(tmp_path, recipe, *long, "teacher.concurrency=1", "teacher.delay=0.5",  # a sample after the other
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert "larger than is allowed here" in sentence(done)
    kept = len(Lake(tmp_path / "lake").ids("traces"))
    assert 1 < kept < 160
    assert run(tmp_path, recipe, *long).returncode == 0
    lake = Lake(tmp_path / "lake")
    assert (lake.value("SELECT count(*) FROM traces"), len(lake.ids("traces"))) == (160, 160)


FULL = """
mount -t tmpfs -o size=600k none "$1" || exit 99
shift
"$@"; first=$?
mount -o remount,size=64m "$LAKE" || exit 99
"$@" >&2 || exit 98
"$PYTHON" -P -m flows.cli sql "select count(*) as n, count(distinct id) as ids from traces" --format csv --lake "$LAKE"
exit $first
"""


def may_mount() -> bool:
    return shutil.which("unshare") is not None and subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="a small disk can only be mounted by one who may mount")
def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on_when_there_is_room(tmp_path: Path) -> None:
    recipe, lake = write_recipe(tmp_path), tmp_path / "lake"
    lake.mkdir()
    command = [*COT, "run", str(recipe), "--direct", "--lake", str(lake), "--set", "generate.samples=200"]
    done = subprocess.run(["unshare", "-m", "sh", "-c", FULL, "sh", str(lake), *command], capture_output=True,
                          text=True, cwd=ROOT, check=False,
                          env={**os.environ, "LAKE": str(lake), "PYTHON": sys.executable})
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "no space is left on the disk" in done.stderr
    assert done.stdout.endswith("n,ids\n800,800\n")


# -- interrupted -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def in_the_middle(folder: Path, recipe: Path, bought: int) -> Any:
    """A run of the recipe that has journaled some traces and is still asking, for half a minute more."""
    command = [*COT, "run", str(recipe), "--direct", "--lake", str(folder / "lake"), "--set", "teacher.delay=3",
               "--set", "teacher.concurrency=4", "--set", "generate.samples=10"]
    with subprocess.Popen(command, text=True, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as going:
        while going.poll() is None and journaled(folder / "lake") < bought:
            time.sleep(0.02)
        yield going


def journaled(lake: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in (lake / "journal").glob("traces-*.jsonl"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_is_finished_and_goes_on_from_there(tmp_path: Path, number: int) -> None:
    recipe = write_recipe(tmp_path)
    with in_the_middle(tmp_path, recipe, 4) as going:
        going.send_signal(number)
        _, errors = going.communicate()
    done = subprocess.CompletedProcess(going.args, going.returncode, "", errors)
    assert "interrupted; nothing that was finished is lost" in sentence(done, 130)
    kept = Lake(tmp_path / "lake").ids("traces")
    assert 4 <= len(kept) < 40
    again = run(tmp_path, recipe, "generate.samples=10")  # of other pace, which is no part of what is asked
    assert again.returncode == 0
    assert kept < Lake(tmp_path / "lake").ids("traces")
    assert Lake(tmp_path / "lake").value("SELECT count(*) FROM traces") == 40


@pytest.mark.slow
def test_a_run_in_the_background_that_ignores_ctrl_c_ends_by_sigterm(tmp_path: Path) -> None:
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as `nohup cot run … &` leaves it; children inherit it
    try:
        with in_the_middle(tmp_path, write_recipe(tmp_path), 4) as going:
            going.send_signal(signal.SIGINT)
            going.send_signal(signal.SIGTERM)
            _, errors = going.communicate()
    finally:
        signal.signal(signal.SIGINT, old)
    assert "interrupted; nothing that was finished is lost" in errors
    assert going.returncode == 130
    assert 4 <= Lake(tmp_path / "lake").value("SELECT count(*) FROM traces") < 40


@pytest.mark.slow
def test_a_run_that_is_going_can_be_asked(tmp_path: Path) -> None:
    with in_the_middle(tmp_path, write_recipe(tmp_path), 4) as going:
        asked = cot("sql", "select count(*) as n from traces", "--format", "csv", "--lake", tmp_path / "lake")
        told = cot("status", "--lake", tmp_path / "lake")
        going.kill()
    assert int(asked.stdout.split()[1]) >= 4
    assert "not yet verified" in told.stdout
