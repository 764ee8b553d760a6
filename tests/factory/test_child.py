"""A child process that answers lines: whatever ends it is one sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from factory.child import Child
from factory.protocols import UserError

Made = Callable[[str], Child]
LONG = "x" * 2**20  # more than a pipe holds


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A process of the code given."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(code: str) -> Child:
        name = "child_" + "".join(c for c in tmp_path.name if c.isalnum())
        (tmp_path / f"{name}.py").write_text(f"import json, sys\n{code}")
        return Child(name, [], "the work failed", "do without")
    return make


def test_it_answers_line_after_line(child: Made) -> None:
    one = child("print('{}', flush=True)\nfor line in sys.stdin: print(len(json.loads(line)), flush=True)")
    assert [one.ask(value) for value in ([1, 2], "vier", LONG)] == [2, 4, 2**20]
    one.close()


@pytest.mark.parametrize(("code", "said"), [
    ("print(json.dumps({'error': 'there is no model'}))", "there is no model"),
    ("raise ValueError('nothing works')", "the work failed: ValueError: nothing works; mend that, or do without"),
    ("sys.exit(3)", "the work failed: it ended with code 3 and said nothing; mend that, or do without")])
def test_one_that_does_not_start_is_one_sentence(child: Made, code: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        child(code)
    assert str(error.value) == said


@pytest.mark.parametrize("question", ["short", LONG])
def test_one_that_has_ended_before_or_while_it_was_asked_is_one_sentence(child: Made, question: str) -> None:
    one = child("print('{}', flush=True)\nsys.stdin.close()\nsys.exit('out of memory')")
    for _ in range(2):  # and whoever asks again is told again
        with pytest.raises(UserError, match="the work failed: out of memory; mend that"):
            one.ask(question)
    one.close()


def test_one_that_dies_at_work_is_one_sentence(child: Made) -> None:
    one = child("import os\nprint('{}', flush=True)\nsys.stdin.readline()\nos.kill(os.getpid(), 9)")
    with pytest.raises(UserError, match="the work failed: it ended with code -9 and said nothing"):
        one.ask(["a text"])
    one.close()
