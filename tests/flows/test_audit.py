"""`cot audit`, and what a run says of it: rates, examples, doubts, changes of a version, a stop that loses nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from factory.lake import Lake

ROOT = Path(__file__).parents[2]

RECIPE = """
name = "audited"
problems = [{ plugin = "jsonl", path = "problems.jsonl", verifier = "VERIFIER", domain = "sums" }]
teacher = { plugin = "scripted", accuracy = 1.0 }
generate = { samples = 4 }
verify = { workers = 1 }

[[datasets]]
name = "sft"
selector = "shortest"
emitter = "sft"
"""

LENIENT = '''
from verifiers.exact_match import exact_match
from verifiers.verdict import Verdict
VERSION = {version}

def lenient(response, reference):
    found = exact_match(response, reference)
    if {lenient} and found.status == "wrong":
        return Verdict("correct", found.answer, "near enough")
    return found

def planted(reference, rng):
    return [("right", f"\\\\boxed{{{{{{reference}}}}}}"), ("wrong", f"\\\\boxed{{{{{{int(reference) + 1}}}}}}")]
'''


class Place:
    """A folder with a recipe, problems, one of them with a wrong reference, and a private verifier."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rows = [{"prompt": f"Compute {a} + 1.", "reference": str(a + 1 + (a == 3))} for a in range(4)]
        (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "lab").mkdir()

    def verifier(self, version: int, lenient: bool) -> None:
        (self.folder / "lab/lenient.py").write_text(LENIENT.format(version=version, lenient=lenient))

    def cot(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-P", "-m", "flows.cli", *map(str, arguments), "--lake", "lake"]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False,
                              env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"})

    def run(self, verifier: str, *settings: str) -> "subprocess.CompletedProcess[str]":
        (self.folder / "audited.toml").write_text(RECIPE.replace("VERIFIER", verifier))
        sets = [part for setting in settings for part in ("--set", setting)]
        return self.cot("run", "audited.toml", "--direct", *sets)

    def lake(self) -> Lake:
        return Lake(self.folder / "lake", create=False)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def said(done: "subprocess.CompletedProcess[str]") -> str:
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_the_rates_and_the_doubts(place: Place) -> None:
    assert place.run("exact_match").returncode == 0
    told = said(place.cot("audit", "--run", "audited", "--verifier", "exact_match"))
    assert told == said(place.cot("audit"))
    assert "exact_match v1  all domains      false accepts  0 of 10: 0.0% [0.0%, 27.8%]\n" in told
    assert "exact_match v1  sums             false rejects  0 of 10: 0.0% [0.0%, 27.8%]\n" in told
    assert "100% of 4 traces say '4', the reference is '5'" in told
    before = {table: place.lake().ids(table) for table in ("audits", "votes", "verdicts", "timings")}
    assert place.run("exact_match").returncode == 0
    assert {table: place.lake().ids(table) for table in before} == before
    assert place.lake().rows("SELECT reference, answer, share, traces FROM doubts") == [
        dict(reference="5", answer="4", share=1.0, traces=4)]


def test_a_broken_contract_stops_the_run_and_a_new_version_goes_on_and_says_what_changed(place: Place) -> None:
    place.verifier(1, lenient=True)
    done = place.run("lab.lenient")
    assert done.returncode == 1
    *_, last = done.stderr.strip().splitlines()
    assert last.startswith("cot: the verifier 'lab.lenient' (version 1) breaks the contract audit.max_false_accept")
    assert "Traceback" not in done.stderr
    assert (len(place.lake().ids("traces")), len(place.lake().ids("verdicts"))) == (16, 16)
    assert place.lake().ids("datasets") == set()
    assert "accepted '\\\\boxed{2}' (lab.lenient.planted) for '1': near enough" in said(place.cot("audit"))
    assert place.run("lab.lenient").returncode == 1
    assert said(place.cot("audit", "--changes")).startswith("no verifier has judged with two versions yet")

    place.verifier(2, lenient=False)
    done = place.run("lab.lenient")
    assert done.returncode == 0, done.stderr
    changed = said(place.cot("audit", "--changes", "--verifier", "lab.lenient"))
    assert changed.startswith("lab.lenient: version 2 judges 4 of 16 answers otherwise than version 1\n"
                              "  correct -> wrong: 4\n")
    assert changed.count("'4' for '5' (was: near enough; is: no reason given)") == 3
    assert changed in done.stdout
    assert len(place.lake().ids("verdicts")) == 32
    assert place.lake().rows("SELECT status, count(*) AS n FROM judged GROUP BY 1 ORDER BY 1") == [
        dict(status="correct", n=12), dict(status="wrong", n=4)]
    again = place.run("lab.lenient")
    assert "version 2 judges" not in again.stdout
    assert place.run("lab.lenient", "audit.max_false_accept=1.0").returncode == 0
    assert len(place.lake().ids("runs")) == 1


def test_problems_without_a_reference_are_judged_by_the_majority(place: Place) -> None:
    (place.folder / "problems.jsonl").write_text("".join(
        json.dumps({"prompt": f"Compute {a} + 1."}) + "\n" for a in range(4)))
    done = place.run("majority")
    assert done.returncode == 0, done.stderr
    assert place.lake().rows("SELECT DISTINCT status, grade, reason FROM judged") == [
        dict(status="correct", grade="majority", reason="share 1.00 of 4")]
    assert "rows in dataset 'sft'           4" in done.stdout
    trace = place.lake().value("SELECT min(id) FROM traces")
    assert "correct (share 1.00 of 4)" in said(place.cot("show", trace))
    assert "nothing was planted yet" in said(place.cot("audit"))


@pytest.mark.parametrize(("arguments", "complaint"), [
    (("--run", "adited"), "there is no run 'adited' in lake: did you mean 'audited'?"),
    (("--verifier", "math_equal"), "no problem in lake has the verifier 'math_equal': use one of exact_match"),
    (("--changes", "--verifier", "exactmatch"), "did you mean 'exact_match'?"),
])
def test_a_wrong_name_is_one_sentence(made: Callable[..., Place], arguments: tuple[str, ...], complaint: str) -> None:
    done = made().cot("audit", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("cot: ")
    assert complaint in done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Place]:
    place = Place(tmp_path_factory.mktemp("made"))
    assert place.run("exact_match").returncode == 0
    return lambda: place
