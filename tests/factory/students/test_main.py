"""`python -m factory.students`: figures on stdout, a sentence on stderr."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from factory.students import __main__ as program
from factory.students import _several


def spec(folder: Path, **changes: Any) -> list[str]:
    path = folder / "spec.json"
    path.write_text(json.dumps({"plugin": "private.noisy", "base": "b", "dataset": "d",
                                "output": str(folder / "made" / "output"), **changes}))
    return [str(path)]


@pytest.fixture(autouse=True)
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private plugin in tmp_path/private/noisy.py."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "noisy.py").write_text(
        "def noisy(base, dataset, output, *, rate=1.0):\n"
        "    print('chatter')\n    return {'base': str(base), 'rate': rate}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("private", "private.noisy"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_the_figures_are_the_only_line_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(spec(tmp_path, params={"rate": 0.5})) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"base": "b", "rate": 0.5}
    assert "chatter" in err
    assert json.loads((tmp_path / "made" / "output" / "figures.json").read_text()) == json.loads(out)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"plugin": "stf"}, "no student 'stf'"),
        ({"plugin": "private.missing"}, "no student 'private.missing'"),
        ({"params": {"raet": 1}}, "no parameter 'raet': use rate"),
        ({"seed": 1}, "'seed' is missing or unknown"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                  changes: dict[str, Any], says: str) -> None:
    assert program.main(spec(tmp_path, **changes)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


def test_a_number_out_of_its_bounds_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = {"plugin": "sft", "base": "b", "dataset": "d", "output": str(tmp_path / "o"), "params": {"epochs": 0}}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    assert program.main([str(tmp_path / "spec.json")]) == 2
    assert "'sft' cannot take epochs = 0: Input should be greater than 0" in capsys.readouterr().err


def test_a_spec_that_is_not_there_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([str(tmp_path / "none.json")]) == 2
    assert program.main([]) == 2
    assert "SPEC.json" in capsys.readouterr().err


def test_several_gpus_are_several_processes_by_a_configuration_that_is_kept(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yaml, started = pytest.importorskip("yaml"), list[list[str]]()
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr("os.execv", lambda program, command: started.append(command))
    given = {"plugin": "sft", "output": str(tmp_path / "output"), "params": {}}
    for changes, gpus in [({}, 1), ({"params": {"device": "cpu"}}, 4)]:
        _several.relaunch(tmp_path / "spec.json", {**given, **changes}, gpus)
    assert started == []
    _several.relaunch(tmp_path / "spec.json", given, 4)
    written = yaml.safe_load((tmp_path / "output" / "accelerate.yaml").read_text())
    assert (written["num_processes"], written["distributed_type"], written["fsdp_config"]["fsdp_version"]) == (
        4, "FSDP", 2)
    assert started[0][1:5] == ["-m", "accelerate.commands.launch", "--config_file", str(
        tmp_path / "output" / "accelerate.yaml")]
    monkeypatch.setenv("RANK", "1")
    _several.relaunch(tmp_path / "spec.json", given, 4)
    assert len(started) == 1


def test_a_trainer_that_takes_one_gpu_sees_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[str]()
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr("os.execve", lambda program, command, env: seen.append(env["CUDA_VISIBLE_DEVICES"]))
    for visible in (None, "3,5", "3"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible) if visible else monkeypatch.delenv(
            "CUDA_VISIBLE_DEVICES", raising=False)
        _several.relaunch(tmp_path / "spec.json", {"plugin": "kto", "output": str(tmp_path), "params": {}}, 2)
    assert seen == ["0", "3"]


def test_a_full_disk_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, figures: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device", "figures.json")

    monkeypatch.setattr(program, "note", full)
    assert program.main(spec(tmp_path)) == 2
    assert "the disk is full (figures.json): make room and run the same command again" in capsys.readouterr().err
