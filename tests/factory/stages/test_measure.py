"""measurements: each number once for each trace, parameters and version; one bad trace stops no other."""

import importlib
import sys
from collections.abc import Callable

import pytest

from factory.protocols import UserError
from factory.run import Run
from factory.stages import measure

Make = Callable[..., Run]
Private = Callable[[str, str], str]


def again(run: Run) -> int:
    return sum(measure.work(run.lake, ids, run.recipe.measures) for ids in measure.shards(run))


def values(run: Run) -> list[tuple[str, str, int]]:
    rows = run.lake.rows("SELECT measure, params, count(value) AS n FROM measurements GROUP BY ALL ORDER BY ALL")
    return [(row["measure"], row["params"], row["n"]) for row in rows]


def test_every_trace_is_measured_once(judged: Make) -> None:
    run = judged(measures=["length", "truncation"])
    assert values(run) == [("length", "{}", 16), ("truncation", "{}", 16)]
    assert again(run) == 0


def test_a_changed_parameter_computes_anew_and_the_old_values_stay(judged: Make) -> None:
    judged(measures=[{"plugin": "repetition", "n": 8}])
    run = judged(measures=[{"plugin": "repetition", "n": 4}])
    assert values(run) == [("repetition", '{"n":4}', 16), ("repetition", '{"n":8}', 16)]


def test_a_further_measure_leaves_the_others_alone(judged: Make) -> None:
    judged(measures=["length"])
    run = judged(measures=["length", "tokens"])
    assert values(run) == [("length", "{}", 16), ("tokens", "{}", 16)]


def test_a_new_version_computes_anew(judged: Make, private: Private) -> None:
    name = private("mine", "VERSION = 1\ndef mine(problem, trace): return 1.0")
    run = judged(measures=[name])
    private("mine", "VERSION = 22\ndef mine(problem, trace): return 2.0")
    importlib.reload(sys.modules[name])
    assert again(run) == 16
    assert run.lake.rows("SELECT DISTINCT version, value FROM measurements ORDER BY ALL") == [
        {"version": 1, "value": 1.0}, {"version": 22, "value": 2.0}]


@pytest.mark.parametrize("fault", ["1 / 0", "float('nan')", "None", "'many'"])
def test_a_trace_that_cannot_be_measured_has_no_value_and_it_is_said(
        judged: Make, private: Private, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = private("mine", f"def mine(problem, trace): return {fault} if '1 + 2' in problem.prompt else 1.0")
    run = judged(measures=[name])
    assert values(run) == [(name, "{}", 12)]
    assert f"the measure '{name}' fails on 4 of 16 traces" in capsys.readouterr().err
    assert again(run) == 0


def test_a_measure_that_always_fails_is_refused(judged: Make) -> None:
    with pytest.raises(UserError, match="'repetition' fails on every trace, the last with: ValueError"):
        judged(measures=[{"plugin": "repetition", "n": 0}])


def test_a_measure_sees_the_trace_as_it_was_bought(judged: Make, private: Private) -> None:
    name = private("mine", "def mine(problem, trace):\n    c = trace.completion\n"
                           "    assert problem.id == trace.request.problem_id and c.raw.startswith('<think>')\n"
                           "    assert c.thinking and c.response and c.completion_tokens and trace.seconds >= 0\n"
                           "    return 1.0")
    assert values(judged(measures=[name])) == [(name, "{}", 16)]
