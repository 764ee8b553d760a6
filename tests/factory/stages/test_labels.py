"""Steps with labels: those that are noted, else those that can be replayed."""

from collections.abc import Callable

from factory.run import Run
from factory.stages import labels


def test_noted_labels_come_before_replayed_ones(judged: Callable[..., Run]) -> None:
    run = judged()
    one, other = sorted(run.lake.ids("traces"))[:2]
    run.lake.append("steps", [dict(id=f"s{i}", trace_id=one, index=i, kind="label", text=f"step {i}", value=value)
                              for i, value in enumerate([1.0, 0.0, None])])
    found = labels.labelled(run.lake, [one, other])
    assert [(step.text, step.value) for step in found[one]] == [("step 0", 1.0), ("step 1", 0.0)]
    assert other not in found  # nothing in it can be replayed


def test_replayed_steps_are_lines_and_take_up_what_stands_before_them() -> None:
    found = labels.replayed("Let us see.\n3 * 4 = 12.\nWell.\n12 + 5 = 18, no wait, 12 + 5 = 17.\n17 + 1 = 19.", "19")
    assert [(step.text, step.value) for step in found] == [
        ("Let us see.\n3 * 4 = 12.\n", 1.0), ("Well.\n12 + 5 = 18, no wait, 12 + 5 = 17.\n", 1.0),
        ("17 + 1 = 19.", 0.0)]


def test_a_reference_that_says_nothing_about_steps_is_no_trouble() -> None:
    assert [step.value for step in labels.replayed("1 + 1 = 2", '{"numbers": "x"}')] == [1.0]
    assert labels.replayed("Nothing.", "") == []
