"""The fuzzer, for as many inputs as half a minute allows; by hand and weekly it runs for minutes (see `fuzz.py`)."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "fuzz.py"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="atheris is not installed: pip install atheris"),
]


def test_mutated_text_raises_nothing_hangs_nowhere_and_is_never_executed() -> None:
    done = subprocess.run([sys.executable, str(FUZZ), "--runs", "20000"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4_000:]
    assert "number_of_executed_units: 20000" in done.stderr


@pytest.mark.parametrize("deed", ["eval(response)", "__import__('colorsys')", "open('/dev/null')", "os.system('true')"])
def test_the_fuzzer_sees_a_checker_that_executes_text(deed: str) -> None:
    code = (
        f"import os, sys; sys.path.insert(0, {str(FUZZ.parent)!r}); import fuzz\n"
        "real = fuzz.math_equal\n"
        f"def bad(response, reference):\n    try: {deed}\n    except Exception: pass\n"
        "    return real(response, reference)\n"
        "fuzz.math_equal = bad\n"
        "sys.addaudithook(fuzz.watch)\n"
        "fuzz.check('5', '5')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "AssertionError: a verdict did" in done.stderr
