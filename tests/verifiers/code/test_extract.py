"""Where a response has its program."""

import pytest

from verifiers.code.extract import CHARACTERS, program


def code(response: str, language: str = "python", policy: str = "last") -> str | None:
    found = program(response, language, policy)  # type: ignore[arg-type]
    return found.code.strip("\n") if found else None


@pytest.mark.parametrize(("response", "expected"), [
    ("```python\nx = 1\n```", "x = 1"),
    ("```py\nx = 1\n```\nthen\n```Python3\nx = 2\n```\ndone", "x = 2"),
    ("```\nx = 1\n```", "x = 1"),
    ("```\nx = 1\n```\n```python\nx = 2\n```\n```\noutput\n```", "x = 2"),
    ("~~~python\nx = 1\n~~~", "x = 1"),
    ("````python\ns = '''\n```\n'''\n````", "s = '''\n```\n'''"),
    ("1. Like so:\n   ```python\n   def f():\n       return 1\n   ```", "def f():\n    return 1"),
    ("```python\nx = 1\n", "x = 1"),
    ("```python\nx = 1\n<|im_end|>\n<|im_start|>user", "x = 1"),
    ("```{.python}\nx = 1\n```", "x = 1"),
    ("```python title=\"a.py\"\nx = 1\n```", "x = 1"),
    ("x = 1\nprint(x)", "x = 1\nprint(x)"),
    ("```cpp\nint x;\n```", None),
    ("```python\n\n```", None),
    ("", None),
    ("   \n", None),
])
def test_the_last_block_of_the_language_is_the_program(response: str, expected: str | None) -> None:
    assert code(response) == expected


def test_only_what_is_fenced_is_certainly_meant_as_a_program() -> None:
    assert [bool(f and f.fenced) for f in (program("```\nx\n```"), program("x = 1"))] == [True, False]


@pytest.mark.parametrize(("response", "expected"), [
    ("<think>\n```python\nwrong\n```\n</think>\n```python\nx = 1\n```", "x = 1"),
    ("```python\nwrong\n```\n</think>\n```python\nx = 1\n```", "x = 1"),
    ("<think>\n```python\nwrong\n```", None),
    ("```python\nparts = text.split('</think>')\n```", "parts = text.split('</think>')"),
    ("<think>I don't know.</think>it's\n```python\nx = 1\n```", "x = 1"),
])
def test_thinking_is_never_read_and_a_quoted_tag_is_none(response: str, expected: str | None) -> None:
    assert code(response) == expected


@pytest.mark.parametrize(("policy", "expected"), [
    ("last", "b"), ("first", "aaa"), ("longest", "aaa"), ("joined", "aaa\n\n\nb")])
def test_several_blocks_go_by_the_policy(policy: str, expected: str) -> None:
    assert code("```python\naaa\n```\n```python\nb\n```", policy=policy) == expected


def test_languages_have_several_names() -> None:
    response = "```c++\nint a;\n```\n```C++17\nint b;\n```\n```python\nc\n```"
    assert code(response, "cpp") == "int b;"
    assert code(response, "rust") is None


def test_what_is_too_long_is_not_looked_at() -> None:
    assert program("x" * (CHARACTERS + 1)) is None
