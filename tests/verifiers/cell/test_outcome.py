"""Which outcome follows from the kernel's account of a test: the rules in their order, and reports that are none."""

import signal
from typing import Any

import pytest

from verifiers.cell.outcome import Limits, Report, judge, readable

DONE = {"begun": True, "status": 0, "cpu_s": 0.1, "wall_s": 0.1, "killed": None, "rss_kb": 9000, "grown_kb": 100}


def outcome(stderr: str = "", largest: int = 0, out_of_memory: bool = False, **changed: Any) -> str:
    return judge(Report.read({**DONE, **changed}), Limits(), largest, stderr, out_of_memory)[0]


@pytest.mark.parametrize(("changed", "expected"), [
    ({}, "ran"),
    ({"begun": False, "status": 70 << 8}, "sandbox_error"),
    ({"killed": "starved", "status": 9}, "sandbox_error"),
    ({"killed": "cpu", "status": 9}, "timeout"),
    ({"killed": "wall", "status": 9}, "timeout"),
    ({"status": int(signal.SIGXCPU)}, "timeout"),
    ({"cpu_s": 2.1}, "timeout"),
    ({"cpu_s": 2.1, "status": int(signal.SIGXFSZ)}, "timeout"),
    ({"status": int(signal.SIGXFSZ)}, "output_limit"),
    ({"largest": (1 << 20) + 1, "status": 9, "out_of_memory": True}, "output_limit"),
    ({"largest": 1 << 20}, "ran"),
    ({"killed": "memory", "status": 9}, "memory_limit"),
    ({"out_of_memory": True}, "memory_limit"),
    ({"status": 1 << 8, "stderr": "Traceback\nMemoryError\n"}, "memory_limit"),
    ({"status": 6, "stderr": "  what():  std::bad_alloc\n"}, "memory_limit"),
    ({"status": 0, "stderr": "MemoryError\n"}, "ran"),
    ({"status": 1 << 8, "stderr": "MemoryError\nValueError: 1\n"}, "runtime_error"),
    ({"status": 11, "grown_kb": 250 << 10}, "memory_limit"),
    ({"status": 0, "grown_kb": 250 << 10}, "ran"),
    ({"status": 11}, "runtime_error"),
    ({"status": 3 << 8}, "runtime_error"),
])
def test_the_first_rule_that_holds_decides(changed: dict[str, Any], expected: str) -> None:
    assert outcome(**changed) == expected


@pytest.mark.parametrize("message", [{}, {**DONE, "status": "x"}, {**DONE, "cpu_s": None}, {**DONE, "rss_kb": [1]}])
def test_a_report_that_is_none_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"a report|invalid literal|could not convert"):
        Report.read(message)


def test_text_for_people_has_no_control_characters() -> None:
    assert readable(b"a\tb\n\x1b[2J\xff\xe2\x80\xae") == "a\tb\n\\x1b[2J\\xff\\x202e"
