"""The folder is the registry; every mistake in a plugin's name or parameters is one sentence with the right names."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from factory import plugins
from factory.protocols import UserError


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a private measure; gives back its dotted name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lab_plugins").mkdir()

    def make(code: str) -> str:
        (tmp_path / "lab_plugins/mine.py").write_text(code)
        return "lab_plugins.mine"
    yield make
    for name in [name for name in sys.modules if name.startswith("lab_plugins")]:
        del sys.modules[name]


def refusal(kind: str, name: str, **params: Any) -> str:
    with pytest.raises(UserError) as error:
        plugins.bind(kind, name, params)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_kind_has_plugins_and_none_is_a_helper(kind: str) -> None:
    assert plugins.names(kind)
    assert not [name for name in plugins.names(kind) if name.startswith("_")]


@pytest.mark.parametrize(("kind", "name"), [
    (kind, name) for kind in plugins.KINDS if kind != "student" for name in plugins.names(kind)
    if (kind, name) != ("verifier", "reasoning_gym")])  # its package is not among ours
def test_every_plugin_that_ships_has_a_function_of_its_name(kind: str, name: str) -> None:
    assert plugins.function(kind, name).__name__ == name
    assert plugins.version(kind, name) >= 1


def test_the_names_are_read_without_importing_a_plugin() -> None:
    code = """import sys; from factory import plugins; print("sft" in plugins.names("student"), *sys.modules)"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found[0] == "True"
    assert "factory.students.sft" not in found


def test_parameters_are_filled_in() -> None:
    assert plugins.bind("source", "worlds", {"count": 3}).keywords == {"count": 3}  # type: ignore[attr-defined]


WRONG = [  # (kind, name, parameters, what the sentence says)
    ("measure", "lenght", {}, "there is no measure 'lenght': did you mean 'length'? use one of answer"),
    ("measure", "", {}, "there is no measure ''"),
    ("measure", "../lake", {}, "there is no measure '../lake'"),
    ("measure", ".mine", {}, "there is no measure '.mine'"),
    ("measure", "a..b", {}, "there is no measure 'a..b'"),
    ("measure", "no.such", {}, "there is no module 'no.such' for the measure 'no.such'"),
    ("measure", "json.decoder", {}, "has no function 'decoder': name it after its file"),
    ("measure", "repetition", {"m": 8}, "has no parameter 'm': use one of n"),
    ("measure", "repetition", {"n": "8"}, "cannot take n = '8': it has to be int"),
    ("measure", "repetition", {"n": 8.5}, "cannot take n = 8.5"),
    ("measure", "length", {"n": 1}, "has no parameter 'n': use one of of"),
    ("source", "worlds", {"levels": ["1"]}, "cannot take levels = ['1']"),
    ("source", "worlds", {"split": "tset"}, "cannot take split = 'tset': it has to be Literal['train', 'dev', 'test']"),
    ("source", "jsonl", {}, "needs the parameter 'path'"),
    ("source", "jsonl", {"path": 3}, "cannot take path = 3"),
    ("teacher", "scripted", {"accuracy": True}, "cannot take accuracy = True: it has to be float"),
    ("selector", "pairs", {"prefer": "x"}, "cannot take prefer = 'x'"),
    ("student", "sft", {"epochs": 0}, "cannot take epochs = 0: input should be greater than 0"),
    ("student", "dpo", {"beta": -1.0}, "cannot take beta = -1.0: input should be greater than or equal to 0"),
    ("student", "dpo", {"beta": "x"}, "cannot take beta = 'x': it has to be float"),
    ("student", "kto", {"seed": -1}, "cannot take seed = -1"),
    ("student", "orpo", {"batch": 10**21}, "cannot take batch = 1000000000000000000000: input should be less than"),
    ("student", "grpo", {"group": 1}, "cannot take group = 1: input should be greater than or equal to 2"),
    ("student", "reward_model", {"held_out": 1.0}, "cannot take held_out = 1.0: input should be less than 1"),
    ("student", "process_reward_model", {"threads": "2"}, "cannot take threads = '2': it has to be int"),
]


@pytest.mark.parametrize(("kind", "name", "params", "said"), WRONG)
def test_a_mistake_is_one_sentence(kind: str, name: str, params: dict[str, Any], said: str) -> None:
    assert said in refusal(kind, name, **params)


@pytest.mark.parametrize(("kind", "name", "params"), [
    ("source", "worlds", {"levels": [1, 2], "families": ["gcd"]}), ("teacher", "scripted", {"accuracy": 1}),
    ("teacher", "scripted", {"sampling": {"temperature": 0.5}}), ("selector", "everything_correct", {"per_problem": 2}),
])
def test_what_toml_can_write_is_taken(kind: str, name: str, params: dict[str, Any]) -> None:
    plugins.bind(kind, name, params)


def test_a_private_plugin_is_any_module(module: Callable[[str], str]) -> None:
    name = module("VERSION = 7\ndef mine(problem, trace, *, n: int = 1): return float(n)")
    assert plugins.bind("measure", name, {"n": 2})(None, None) == 2.0
    assert plugins.version("measure", name) == 7


@pytest.mark.parametrize(("code", "said"), [
    ("import no_such_package", "needs the package 'no_such_package', which is not installed"),
    ("def mine(:", "cannot be imported: SyntaxError"),
    ("1 / 0", "cannot be imported: ZeroDivisionError"),
    ("from json import no_such_name", "cannot be imported: ImportError"),
])
def test_a_module_that_does_not_import_says_why(module: Callable[[str], str], code: str, said: str) -> None:
    assert said in refusal("measure", module(code))
