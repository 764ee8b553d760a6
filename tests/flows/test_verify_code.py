"""`cot verify --verifier code_tests`: programs in, the sandbox's own words out."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from factory.protocols import UserError
from flows import cli
from flows.verify_file import verify_file
from verifiers import code_tests

CASES = json.dumps({"language": "python", "kind": "stdio", "tests": [{"stdin": "1 2", "stdout": "3"}],
                    "limits": {"cpu_s": 1, "wall_s": 2}})


def told(tmp_path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    file, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert cli.main(["verify", str(file), "--out", str(out), "--verifier", "code_tests", "--workers", "1"]) == 0
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_the_verdict_and_the_trust_stand_beside_the_status(tmp_path: Path) -> None:
    programs = ["print(3)", "print(4)", "1/0", "print(", "while True: pass"]
    rows = told(tmp_path, [
        {"id": n, "reference": CASES, "response": f"```python\n{p}\n```"} for n, p in enumerate(programs)
    ] + [{"id": 9, "reference": "{}", "response": "x"}])
    assert [(row["id"], row["status"], row["verdict"]) for row in rows] == [
        (0, "correct", "passed"), (1, "wrong", "wrong_answer"), (2, "wrong", "runtime_error"),
        (3, "wrong", "compile_error"), (4, "wrong", "timeout"), (9, "undecided", "sandbox_error")]
    assert {(row["trust"], row["grade"]) for row in rows} == {("certain", "executed")}


def test_other_verifiers_say_what_they_always_said(tmp_path: Path) -> None:
    file, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    file.write_text('{"id": 1, "reference": "2", "response": "2"}\n')
    assert verify_file(file, out, "exact_match", 1, 5.0) == 0
    assert json.loads(out.read_text()).keys() == {"id", "status", "answer", "reason", "grade", "seconds"}


def test_a_machine_without_isolation_is_refused_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_tests, "missing", lambda: "install bubblewrap")
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(UserError, match="install bubblewrap"):
        verify_file(tmp_path / "rows.jsonl", None, "code_tests", 1, 5.0)


def test_running_without_a_sandbox_has_to_be_asked_for_and_is_announced(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COT_UNSAFE_NO_SANDBOX", "")
    (tmp_path / "rows.jsonl").write_text('{"id": 1, "reference": "2", "response": "2"}\n')
    command = ["verify", str(tmp_path / "rows.jsonl"), "--verifier", "exact_match", "--workers", "1"]
    cli.main(command)
    assert not os.environ["COT_UNSAFE_NO_SANDBOX"] and "WITHOUT" not in capsys.readouterr().err
    cli.main([*command, "--unsafe-no-sandbox"])
    assert os.environ["COT_UNSAFE_NO_SANDBOX"] == "1" and "WITHOUT" in capsys.readouterr().err
