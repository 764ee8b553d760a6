"""Rows of known benchmarks as references of our own kinds: the fields that their data sets have, given as they are.

LiveCodeBench (`public_test_cases`, `private_test_cases`, also packed; `fn_name` or `metadata.func_name`), HumanEval and
HumanEval+ (`prompt`, `test`, `entry_point`), MBPP and MBPP+ (`test_list` or `test`), APPS and TACO (`inputs`, `outputs`
[, `fn_name`], also inside `input_output`), CodeContests (`public_tests`, `private_tests`, `generated_tests`), a list of
assert statements, and a list of input/output cases.
"""

import base64
import binascii
import json
import pickletools
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

Row = Mapping[str, Any]

UNPACKED = 512 * 2**20
"""The most bytes that packed test cases may unpack to."""

KEPT = ("limits", "compare", "tolerance", "run", "judge", "blocks", "language", "prelude", "solution", "module")


def ours(row: Any) -> dict[str, Any]:
    """The row in our own form; one that already is comes back as it is. ValueError for what cannot be read."""
    if isinstance(row, list):
        return _of_list(row)
    if "kind" in row:
        return _RENAMED.get(row["kind"] if isinstance(row["kind"], str) else "", dict)(row)
    if isinstance(row.get("tests"), dict):
        return {"solution": row.get("answer"), **ours(row["tests"])}
    for keys, reader in _FORMATS:
        if all(key in row for key in keys):
            return {**reader(row), **{key: row[key] for key in KEPT if key in row}}
    raise ValueError('the reference has no "kind", and is no row of a benchmark that is known here')


def _of_list(items: list[Any]) -> dict[str, Any]:
    if items and all(isinstance(item, str) for item in items):
        return {"kind": "asserts", "tests": items}
    return _live_code_bench({"public_test_cases": items})


# -- other spellings of our kinds ------------------------------------------------------------------------------------


def _cases(row: Row) -> dict[str, Any]:
    return {"compare": "tokens", **row, "kind": "stdio", "tests": row.get("tests", row.get("cases"))}


def _asserts(row: Row) -> dict[str, Any]:
    tests = row.get("tests", row.get("asserts"))
    return {**row, "tests": [tests] if isinstance(tests, str) else tests}


def _call(row: Row) -> dict[str, Any]:
    """`args` and `expected` side by side as well as a list of tests."""
    if "tests" in row or not isinstance(row.get("args"), list) or not isinstance(row.get("expected"), list):
        return dict(row)
    if len(row["args"]) != len(row["expected"]):
        raise ValueError('"args" and "expected" are not as many')
    return {**row, "tests": [{"args": a, "expected": e} for a, e in zip(row["args"], row["expected"], strict=True)]}


_RENAMED: dict[str, Callable[[Row], dict[str, Any]]] = {
    "stdin_stdout": _cases, "asserts": _asserts, "call": _call, "pytest": lambda row: {**row, "kind": "unittest"}}


# -- benchmarks ------------------------------------------------------------------------------------------------------


def _live_code_bench(row: Row) -> dict[str, Any]:
    cases = [case for key in ("public_test_cases", "private_test_cases") for case in _unpacked(row.get(key) or [])]
    if not all(isinstance(case, dict) for case in cases):
        raise ValueError("a test case is no object")
    metadata = _loaded(row.get("metadata") or {}, "metadata")
    name = row.get("fn_name") or (metadata.get("func_name") if isinstance(metadata, dict) else None)
    functional = [case for case in cases if case.get("testtype") == "functional"]
    if not functional:
        return {"kind": "stdio", "compare": "tokens", "tests": cases}
    return {"kind": "call", "entry": name, "tests": [
        {"args": _arguments(case.get("input")), "expected": _loaded(case.get("output"), "output")}
        for case in functional]}


def _unpacked(cases: Any) -> Any:
    """A list, its JSON text, or that text pickled, compressed and in Base64: LiveCodeBench's private ones."""
    if isinstance(cases, str):
        cases = _json(cases) if cases.lstrip().startswith("[") else _json(_text_of_pickle(cases))
    if not isinstance(cases, list):
        raise ValueError("the test cases are no list")
    return cases


def _text_of_pickle(packed: str) -> str:
    """The one text in a pickle, found without unpickling: that would run whatever the pickle says."""
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(packed), UNPACKED)
        texts = [arg for _, arg, _ in pickletools.genops(data) if isinstance(arg, str)]
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ValueError(f"the packed test cases cannot be unpacked: {error}") from error
    if len(texts) != 1:
        raise ValueError("the packed test cases are not one text")
    return texts[0]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the test cases are no JSON: {error}") from error


def _loaded(value: Any, name: str) -> Any:
    """A value, or the value of its JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'a "{name}" is no JSON: {error}') from error


def _arguments(given: Any) -> list[Any]:
    """A list of arguments as it is; of a text each line is one, in JSON."""
    if isinstance(given, list):
        return given
    if not isinstance(given, str):
        raise ValueError("the input of a function is neither a list nor a text")
    return [_loaded(line, "input") for line in given.split("\n") if line.strip()]


def _apps(row: Row) -> dict[str, Any]:
    given = _loaded(row["input_output"], "input_output") if "input_output" in row else row
    if not isinstance(given, dict):
        raise ValueError("the tests are no object")
    inputs, outputs = given.get("inputs"), given.get("outputs")
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise ValueError('"inputs" and "outputs" are no lists of one length')
    pairs = list(zip(inputs, outputs, strict=True))
    if name := given.get("fn_name"):
        return {"kind": "call", "entry": name, "tests": [
            {"args": _arguments(given), "any_of": _wrapped(expected)} for given, expected in pairs]}
    return {"kind": "stdio", "compare": "tokens", "tests": [{"stdin": i, "stdout": o} for i, o in pairs]}


def _wrapped(expected: Any) -> list[Any]:
    """APPS writes a returned value as itself or as the only item of a list."""
    return [expected, expected[0]] if isinstance(expected, list) and len(expected) == 1 else [expected]


def _code_contests(row: Row) -> dict[str, Any]:
    tests = []
    for key in ("public_tests", "private_tests", "generated_tests"):
        given = row.get(key) or {}
        if not isinstance(given, dict):
            raise ValueError(f'"{key}" is no object')
        inputs, outputs = given.get("input") or [], given.get("output") or []
        if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
            raise ValueError(f'"{key}" has no inputs and outputs of one number')
        tests += [{"stdin": i, "stdout": o} for i, o in zip(inputs, outputs, strict=True)]
    return {"kind": "stdio", "compare": "tokens", "tests": tests, "limits": _limits(row)}


def _limits(row: Row) -> dict[str, float]:
    limits: dict[str, float] = {}
    if isinstance(time := row.get("time_limit"), dict) and isinstance(seconds := time.get("seconds"), int | float):
        limits["cpu_s"] = seconds + (time.get("nanos") or 0) / 1e9
    if isinstance(size := row.get("memory_limit_bytes"), int) and size > 0:
        limits["memory_mb"] = size // 2**20
    return limits


def _human_eval(row: Row) -> dict[str, Any]:
    """The program is the function, or what completes the prompt; what stands before the function goes before both."""
    prompt, entry = str(row.get("prompt") or ""), str(row["entry_point"])
    before = re.split(rf"^(?:async )?def {re.escape(entry)}\b", prompt, maxsplit=1, flags=re.MULTILINE)
    solution = row.get("canonical_solution")
    return {"kind": "check_function", "entry": entry, "code": row["test"], "completes": prompt,
            "prelude": before[0] if len(before) == 2 else "",
            **({"solution": prompt + solution} if isinstance(solution, str) else {})}


def _mbpp(row: Row) -> dict[str, Any]:
    imports = row.get("test_imports") or []
    setup = "\n".join([row.get("test_setup_code") or "", *(imports if isinstance(imports, list) else [])])
    return {"kind": "asserts", "setup": setup, "tests": row["test_list"], **_solved(row)}


def _mbpp_plus(row: Row) -> dict[str, Any]:
    return {"kind": "script", "code": row["test"], **_solved(row)}


def _solved(row: Row) -> dict[str, Any]:
    return {"solution": row["code"]} if isinstance(row.get("code"), str) else {}


_FORMATS: tuple[tuple[tuple[str, ...], Callable[[Row], dict[str, Any]]], ...] = (
    (("test", "entry_point"), _human_eval), (("test", "code"), _mbpp_plus), (("test_list",), _mbpp),
    (("public_test_cases",), _live_code_bench), (("private_test_cases",), _live_code_bench),
    (("input_output",), _apps), (("inputs", "outputs"), _apps), (("public_tests",), _code_contests),
    (("private_tests",), _code_contests), (("generated_tests",), _code_contests))
"""Keys that a row has -> how it is read; the first that fits."""
