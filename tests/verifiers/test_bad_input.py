"""Bad input of every kind: `undecided` or one clear sentence, and the good rows beside it are judged as ever."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from verifiers import Case, verify_many
from verifiers.math_equal import math_equal

DEEP = 10**5
GOOD = Case("math_equal", r"\boxed{\frac{10}{2}}", "5")
BAD: dict[str, tuple[str, str]] = {
    "a lone surrogate": ("\\boxed{\ud800}", "5"),
    "a lone surrogate as the reference": (r"\boxed{5}", "\udfff"),
    "NUL": ("\\boxed{5\x00}", "5"),
    "NUL as the reference": (r"\boxed{5}", "\x00"),
    "nothing": ("", "5"),
    "white space": (" \n\t\u2003", "5"),
    "nested braces": ("{" * DEEP + "5" + "}" * DEEP, "5"),
    "nested braces in a box": (rf"\boxed{{{'{' * DEEP}5{'}' * DEEP}}}", "5"),
    "nested brackets in a box": (rf"\boxed{{{'(' * DEEP}5{')' * DEEP}}}", "5"),
    "brackets just under the caps on length": (rf"\boxed{{{'(' * 900}5{')' * 900}}}", "5"),
    "nested boxes that never close": (r"\boxed{" * DEEP, "5"),
    "nested fractions": (r"\boxed{" + r"\frac{1}{" * 180 + "5" + "}" * 181, "5"),
    "many digits": (rf"\boxed{{{'9' * 10**6}}}", "5"),
    "thinking that never ends": ("<think>" * DEEP, "5"),
    "a power tower": (r"\boxed{5^{5^{5^{5^5}}}}", "5"),
    "an empty reference": (r"\boxed{5}", ""),
    "a reference of signs without meaning": (r"\boxed{5}", r" $\,$ "),
    "a reference that its verifier cannot read": (r"\boxed{5}", r"\frac{1}{"),
    "a reference divided by zero": (r"\boxed{5}", r"\frac{1}{0}"),
    "nested braces as the reference": (r"\boxed{5}", "{" * DEEP + "5" + "}" * DEEP),
}


@pytest.mark.parametrize("name", BAD)
def test_math_equal_is_undecided_at_once(name: str) -> None:
    started = time.process_time()
    verdict = math_equal(*BAD[name])
    assert verdict.status == "undecided"
    assert verdict.reason
    assert time.process_time() - started < 2.0


def test_the_pool_judges_the_others() -> None:
    cases = [case for bad in BAD.values() for case in (Case("math_equal", *bad), GOOD)]
    cases += [Case("no_such_verifier", "5", "5"), GOOD]
    verdicts = list(verify_many(cases, workers=2, timeout=20.0))
    assert [verdict.status for verdict in verdicts] == ["undecided", "correct"] * (len(BAD) + 1)
    assert "There is no verifier 'no_such_verifier'" in verdicts[-2].reason


@pytest.mark.slow
def test_fifty_megabytes_are_read_and_their_answer_found() -> None:
    long = "1 + 1 = 2, so on we go.\n" * 2_100_000
    assert len(long) > 50_000_000
    (found, none) = verify_many([Case("math_equal", long + r"\boxed{5}", "5"),
                                 Case("math_equal", rf"\boxed{{{long}}}", "5")], workers=1, timeout=60.0)  # fmt: skip
    assert found.status == "correct"
    assert none.status == "undecided"


# -- cot verify


def line(**row: object) -> bytes:
    return json.dumps({"id": "x", "reference": "5", "response": r"\boxed{5}", **row}).encode()


# (the line, the status of its verdict, what its reason says)
LINES: dict[str, tuple[bytes, str, str]] = {
    "bytes that are no UTF-8": (line().replace(b"{5}", b"{\xff\xfe}"), "undecided", "cannot be read"),
    "half a surrogate pair": (line(response="\\boxed{\ud800}"), "undecided", "cannot be read"),
    "NUL": (line(response="\\boxed{5\x00}"), "undecided", "cannot be read"),
    "nested braces": (line(response="{" * DEEP + "}" * DEEP), "undecided", "characters"),
    "an empty reference": (line(reference=""), "undecided", "the reference is empty"),
    "an unknown verifier": (line(verifier="no_such"), "undecided", "There is no verifier 'no_such'"),
    "no reference": (b'{"id": "x", "response": "5"}', "undecided", "no 'reference'"),
    "no JSON": (b'{"id": "x', "undecided", "line "),
    "no object": (b"[1]", "undecided", "not an object"),
    "nested JSON": (b"[" * DEEP, "undecided", "recursion"),
}


def test_cot_verify_tells_each_bad_line_and_judges_the_others(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    good = line(id="good")
    file.write_bytes(b"\n".join(part for bad, _, _ in LINES.values() for part in (bad, good)) + b"\n")
    done = verify(file)
    rows = [json.loads(told) for told in done.stdout.splitlines()]
    assert [(row["id"], row["status"]) for row in rows[1::2]] == [("good", "correct")] * len(LINES)
    for row, (name, (_, status, reason)) in zip(rows[::2], LINES.items(), strict=True):
        assert (row["status"], reason in row["reason"]) == (status, True), (name, row["reason"][:200])
    malformed = [number for number, name in enumerate(LINES) if name in ("no reference", "no JSON", "no object",
                                                                        "nested JSON")]  # fmt: skip
    assert done.returncode == 1
    assert all(f"line {2 * number + 1}: " in done.stderr for number in malformed)
    assert "Traceback" not in done.stderr


def test_cot_verify_of_a_row_without_an_id_keeps_its_place(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\n".join([line(id="a"), b'{"reference": "5", "response": "6"}', line(id="b")]))
    rows = [json.loads(told) for told in verify(file).stdout.splitlines()]
    assert [row["id"] for row in rows] == ["a", None, "b"]
    assert [row["status"] for row in rows[::2]] == ["correct", "correct"]
    assert rows[1]["status"] != "correct"


def verify(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "flows.cli", "verify", str(file), "--workers", "1"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
