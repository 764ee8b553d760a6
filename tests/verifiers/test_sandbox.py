"""What the sandbox says about programs: outcomes, results, limits, levels, and what happens when a cell is lost."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from verifiers.cell import bwrap, level
from verifiers.cell.cell import Cell
from verifiers.cell.languages import Unknown
from verifiers.cell.memory import MemoryGroup
from verifiers.sandbox import (
    OPAQUE,
    Call,
    Limits,
    Program,
    Run,
    Sandbox,
    SandboxMissing,
    Stdin,
    describe,
    run_all,
    shared,
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as made:
        yield made


def run(sandbox: Sandbox, code: str, test: Stdin | Call | None = None, language: str = "python", **limits: Any) -> Run:
    with sandbox.job(Program(language, textwrap.dedent(code)), Limits(**limits)) as job:
        return job.run(test or Stdin(b""))


# -- scripts ---------------------------------------------------------------------------------------------------------


def test_a_script_reads_and_prints_bytes(sandbox: Sandbox) -> None:
    got = run(sandbox, "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])", Stdin(b"\xff\0\r\n"))
    assert (got.outcome, got.stdout, got.exit_status, got.signal, got.reason) == ("ran", b"\n\r\0\xff", 0, None, "")
    assert 0 < got.cpu_s < 2 and got.wall_s > 0 and got.max_rss_mb > 1


@pytest.mark.parametrize(("code", "outcome", "reason"), [
    ("def f(:", "compile_error", "does not compile: SyntaxError"),
    ("x = '\0'", "compile_error", "does not compile"),
    ("(" * 5000, "compile_error", "does not compile"),
    ("import sys; sys.exit(3)", "runtime_error", "status 3"),
    ("import sys\nclass I(int):\n    def __and__(self, o): return 0\nsys.exit(I(5))", "runtime_error", "status 5"),
    ("1 / 0", "runtime_error", "status 1: ZeroDivisionError"),
    ("input()", "runtime_error", "EOFError"),
    ("import os; os.abort()", "runtime_error", "SIGABRT"),
    ("x = bytearray(1 << 30)", "memory_limit", "more than 256 MiB"),
    ("x = []\nwhile True: x.append(bytes(1 << 20))", "memory_limit", "more than 256 MiB"),
    ("while True: print('x' * 1000)", "output_limit", "more than 1048576 bytes"),
    ("import sys\nwhile True: sys.stderr.write('x' * 1000)", "output_limit", "more than 1048576 bytes"),
    ("import sys; sys.exit(0)", "ran", ""),
    ("exit()", "ran", ""),
    ("raise SystemExit", "ran", ""),
    ("import os; print(6, end='', flush=True); os._exit(0)", "ran", ""),
])
def test_the_outcome_of_a_script(sandbox: Sandbox, code: str, outcome: str, reason: str) -> None:
    got = run(sandbox, code)
    assert got.outcome == outcome
    assert reason in got.reason


@pytest.mark.parametrize("code", [
    "while True: pass",
    "import signal\nfor n in (10, 12, 14, 15, 24): signal.signal(n, signal.SIG_IGN)\nwhile True: pass",
    "import time; time.sleep(60)",
    "import os\nos.mkfifo('/tmp/f')\nopen('/tmp/f')",
    "import signal; signal.pause()",
])
def test_what_does_not_end_is_ended(sandbox: Sandbox, code: str) -> None:
    got = run(sandbox, code, cpu_s=0.3, wall_s=0.8)
    assert got.outcome == "timeout"
    assert got.cpu_s < 2


@pytest.mark.skipif(not bwrap.packages(), reason="no numpy that the cell's interpreter could use")
def test_numpy_is_there_and_its_scalars_are_numbers(sandbox: Sandbox) -> None:
    assert run(sandbox, "import numpy as np\nprint(int(np.linalg.inv(np.eye(2) * 2).sum()))").stdout == b"1\n"
    code = "import numpy as np\ndef f(x): return [np.int64(x), np.float64(0.5), np.bool_(True), {np.str_('a')}]"
    with sandbox.job(Program("python", code), Limits()) as job:
        assert job.run(Call("f", (3,))).result == [3, 0.5, True, {"a"}]
    with sandbox.job(Program("python", "import numpy as np\ndef f(): return np.arange(3)"), Limits()) as job:
        assert job.run(Call("f")).result is OPAQUE


def test_what_a_program_imports_is_as_ever(sandbox: Sandbox) -> None:
    code = """
        import statistics, os, queue as q
        from dataclasses import dataclass
        from concurrent.futures import ThreadPoolExecutor
        @dataclass
        class P: x: int
        print(P(1), statistics.mean([1, 2, 3]), q.Queue().empty(), sorted(k for k in os.environ if k.startswith("LD_")))
        with ThreadPoolExecutor(2) as pool: print(list(pool.map(str, range(3))))
    """
    assert run(sandbox, code, processes=4).stdout == b"P(x=1) 2 True []\n['0', '1', '2']\n"


def test_time_that_children_spend_counts(sandbox: Sandbox) -> None:
    code = """
        import os
        for _ in range(3):
            if not os.fork():
                while True: pass
        os.wait()
    """
    assert run(sandbox, code, cpu_s=0.5, wall_s=30, processes=8, allow_fork=True).outcome == "timeout"


def test_a_program_just_over_its_time_is_run_again_before_that_is_believed(sandbox: Sandbox) -> None:
    code = "import time\nwhile time.process_time() < 1.1: pass"
    got = run(sandbox, code, cpu_s=1.0)
    assert got.outcome == "timeout"
    assert got.reason.endswith("twice")


def test_exactly_the_limit_of_output_is_no_excess(sandbox: Sandbox) -> None:
    assert run(sandbox, "print('x' * 99)", output_bytes=100).outcome == "ran"
    assert run(sandbox, "print('x' * 100)", output_bytes=100).outcome == "output_limit"


def test_stderr_is_a_tail_without_control_characters(sandbox: Sandbox) -> None:
    got = run(sandbox, "import sys; sys.stderr.write('a' * 5000 + '\\x1b[31m\\xff end')")
    assert got.stderr.endswith("\\x1b[31mÿ end") and len(got.stderr) < 2100


def test_a_traceback_shows_the_program_only(sandbox: Sandbox) -> None:
    assert run(sandbox, "def f(): return 1 / 0\nf()").stderr.splitlines()[1:3] == [
        '  File "solution.py", line 2, in <module>', '  File "solution.py", line 1, in f']


def test_each_test_is_a_new_process(sandbox: Sandbox) -> None:
    code = "import os, builtins\nprint(os.path.exists('/tmp/x'), hasattr(builtins, 'x')); builtins.x = 1"
    runs = run_all(Program("python", code), [Stdin(b""), Stdin(b"")], Limits(), sandbox)
    assert [each.stdout for each in runs] == [b"False False\n"] * 2


def test_programs_do_not_see_each_others_files(sandbox: Sandbox) -> None:
    assert run(sandbox, "open('/tmp/x', 'w').write('1'); print(open('/tmp/x').read())").stdout == b"1\n"
    assert run(sandbox, "import os; print(os.listdir('/tmp'), os.getcwd())").stdout == b"[] /tmp\n"


HONEST = {
    "everything read at once": ("import os\nprint(os.read(0, os.fstat(0).st_size))", b"b'1 2'\n"),
    "open(0)": ("print(open(0).read())", b"1 2\n"),
    "/dev/stdin": ("print(open('/dev/stdin').read())", b"1 2\n"),
    "lines": ("import sys\nfor line in sys.stdin: print(line.split())", b"['1', '2']\n"),
    "main": ("if __name__ == '__main__': print(input())", b"1 2\n"),
    "a thread with a large stack": ("""
        import sys, threading
        sys.setrecursionlimit(10**6)
        threading.stack_size(64 << 20)
        def depth(n): return n and 1 + depth(n - 1)
        def main(): print(depth(20000))
        thread = threading.Thread(target=main); thread.start(); thread.join()
        """, b"20000\n"),
    "a larger stack": ("""
        import resource
        resource.setrlimit(resource.RLIMIT_STACK, (1 << 28, resource.RLIM_INFINITY)); print(1)
        """, b"1\n"),
    "asyncio": ("import asyncio\nasync def main(): print(7)\nasyncio.run(main())", b"7\n"),
    "its own class": ("import pickle as p\nclass A: pass\nprint(type(p.loads(p.dumps(A()))) is A)", b"True\n"),
    "dataclass": ("from dataclasses import dataclass\n@dataclass\nclass A: x: int\nprint(A(1))", b"A(x=1)\n"),
    "atexit": ("import atexit\natexit.register(print, 1)", b"1\n"),
    "random is the same every time": ("import random; print(random.random() == random.random())", b"False\n"),
    "time zone": ("import time; print(time.tzname[0])", b"UTC\n"),
    "encoding": ("print('ä€')", "ä€\n".encode()),
    "temporary files": ("import tempfile\nwith tempfile.TemporaryFile() as f: print(f.write(b'x'))", b"1\n"),
    "nothing": ("", b""),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_programs_work_as_they_do_elsewhere(sandbox: Sandbox, name: str) -> None:
    code, expected = HONEST[name]
    got = run(sandbox, code, Stdin(b"1 2"))
    assert (got.outcome, got.stdout, got.reason) == ("ran", expected, "")


@pytest.mark.parametrize("code", [
    "from multiprocessing import Pool\nwith Pool(3) as pool: print(sum(pool.map(abs, range(-9, 1))))",
    "import subprocess; print(subprocess.run(['echo', '45'], capture_output=True, text=True).stdout, end='')",
    "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(45)'])",
])
def test_processes_work_where_they_are_allowed(sandbox: Sandbox, code: str) -> None:
    got = run(sandbox, code, processes=16, allow_fork=True)
    assert (got.outcome, got.stdout) == ("ran", b"45\n"), got.stderr


def test_a_hash_is_the_same_in_every_cell(sandbox: Sandbox) -> None:
    code = "import random; print(hash('abc'), {'a', 'b', 'c'}, random.random())"
    with Sandbox() as other:
        assert run(sandbox, code).stdout == run(other, code).stdout != b""


# -- calls -----------------------------------------------------------------------------------------------------------


def test_a_call_takes_and_gives_plain_data(sandbox: Sandbox) -> None:
    code = "def f(a, *, b=None):\n    print('noise')\n    return {'a': (a, b), 1: {2.5}}"
    got = run(sandbox, code, Call("f", ([1, "x"],), {"b": b"y"}))
    assert (got.outcome, got.stdout, got.result) == ("ran", b"noise\n", {"a": ([1, "x"], b"y"), 1: {2.5}})


@pytest.mark.parametrize("entry", ["f", "Solution.f"])
def test_a_method_of_solution_is_called_by_either_name(sandbox: Sandbox, entry: str) -> None:
    assert run(sandbox, "class Solution:\n    def f(self, x): return x + 1", Call(entry, (1,))).result == 2


@pytest.mark.parametrize(("code", "outcome"), [
    ("", "runtime_error"),
    ("f = 3", "runtime_error"),
    ("import os; os._exit(0)", "runtime_error"),
    ("raise SystemExit(0)", "runtime_error"),
    ("def f(): raise ValueError", "runtime_error"),
    ("import os\ndef f(): os.write(3, b'T'); os._exit(1)", "runtime_error"),
    ("import os\ndef f(): os.write(3, b'garbage'); os._exit(0)", "runtime_error"),
    ("def f():\n    while True: pass", "timeout"),
    ("def f(): return bytearray(1 << 30)", "memory_limit"),
])
def test_a_call_that_returns_nothing_has_no_result(sandbox: Sandbox, code: str, outcome: str) -> None:
    got = run(sandbox, code, Call("f"), cpu_s=0.5)
    assert (got.outcome, got.result) == (outcome, None)


@pytest.mark.parametrize("value", ["object()", "(x for x in [7])", "type('L', (list,), {'__eq__': lambda *_: True})()",
                                   "'x' * (1 << 21)", "lambda: 7"])
def test_what_is_no_plain_data_is_opaque(sandbox: Sandbox, value: str) -> None:
    got = run(sandbox, f"def f(): return {value}", Call("f"))
    assert got.outcome == "ran"
    assert got.result is OPAQUE
    assert "no plain data" in got.reason


def test_arguments_that_are_no_plain_data_are_an_error_of_the_caller(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="plain data"):
        run(sandbox, "def f(x): return x", Call("f", (object(),)))


def test_patching_what_the_driver_uses_forges_nothing(sandbox: Sandbox) -> None:
    code = """
        import builtins, os, sys, json, threading, atexit
        for name in ('type', 'len', 'list', 'dict', 'isinstance', 'bytes', 'int', 'map'):
            setattr(builtins, name, lambda *a, **k: None)
        os.pwrite = os.write = os._exit = lambda *a: None
        def f(): return 5
    """
    assert run(sandbox, code, Call("f")).result in (5, None)


# -- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mapping", "sentence"), [
    ({"cpu": 2}, "no limit 'cpu'"), ({"cpu_s": "2"}, "must be a number"), ({"cpu_s": -1}, "out of range"),
    ({"memory_mb": 1.5}, "whole number"), ({"memory_mb": True}, "whole number"), ({"allow_fork": 1}, "true or false"),
    ({"cpu_s": float("nan")}, "out of range"), ({"wall_s": 0}, "out of range"), ({"wall_s": 1e12}, "out of range"),
])
def test_limits_that_are_none_are_one_sentence(mapping: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Limits.from_json(mapping)


def test_limits_have_the_defaults_of_the_field() -> None:
    assert Limits.from_json({}).message() == {
        "cpu_s": 2.0, "wall_s": 6.0, "memory_mb": 256, "output_bytes": 1 << 20, "processes": 1, "tmp_mb": 16,
        "allow_fork": False}


@pytest.mark.skipif(MemoryGroup.make() is None, reason="no memory cgroup can be written here")
def test_memory_of_children_is_limited_together(sandbox: Sandbox) -> None:
    assert eating_children(sandbox) in ("memory_limit", "timeout")


def test_memory_of_children_is_watched_where_there_is_no_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryGroup, "make", classmethod(lambda _: None))
    with Sandbox() as sandbox:
        assert eating_children(sandbox) == "memory_limit"


def eating_children(sandbox: Sandbox) -> str:
    code = """
        import os, time
        for _ in range(8):
            if not os.fork():
                block = bytearray(100 << 20); block[::4096] = b'x' * len(block[::4096]); time.sleep(5); os._exit(0)
        for _ in range(8): os.wait()
        print('all of them')
    """
    return run(sandbox, code, processes=16, allow_fork=True).outcome


# -- other languages -------------------------------------------------------------------------------------------------

needs_gcc = pytest.mark.skipif(not Path("/usr/bin/g++").exists(), reason="no g++ here")
SUM = "#include <bits/stdc++.h>\nint main() { long a, b; std::cin >> a >> b; std::cout << a + b << std::endl; }"


@needs_gcc
@pytest.mark.parametrize(("code", "outcome", "said"), [
    (SUM, "ran", ""),
    ("int main() { return x; }", "compile_error", "'x' was not declared"),
    ('#include "/etc/passwd"\nint main() {}', "compile_error", "No such file"),
    ("int main() { for (;;); }", "timeout", ""),
    ("int main() { int *p = 0; *p = 1; }", "runtime_error", "SIGSEGV"),
    ("int main() { return 3; }", "runtime_error", "status 3"),
    ("#include <vector>\nint main() { std::vector<char> v(1 << 30); }", "memory_limit", ""),
    ("#include <cstdio>\nint main() { for (;;) puts(\"xxxxxxxxxxxxxxxxxxx\"); }", "output_limit", ""),
    ("#include <unistd.h>\nint main() { return fork() != -1; }", "ran", ""),
    ("#include <stdio.h>\nint main() { return fopen(\"/etc/passwd\", \"r\") || fopen(\"/usr/x\", \"w\"); }", "ran", ""),
    ("#include <sys/socket.h>\nint main() { return socket(AF_INET, SOCK_STREAM, 0) >= 0; }", "ran", ""),
    ("#include <thread>\nint main() { std::thread t([]{}); t.join(); }", "ran", ""),
    ("int f(int n) { volatile char x[100]; x[0] = 1; return n ? x[0] + f(n - 1) : 0; }\n"
     "int main() { return f(1000000) != 1000000; }", "ran", ""),
])
def test_cpp_programs(sandbox: Sandbox, code: str, outcome: str, said: str) -> None:
    got = run(sandbox, code, Stdin(b"3 4"), language="cpp", cpu_s=1.0)
    assert got.outcome == outcome, got
    assert said in (got.reason + got.stderr).replace("‘", "'").replace("’", "'")
    assert got.stdout == (b"7\n" if code == SUM else got.stdout)


@needs_gcc
def test_what_was_compiled_is_kept_by_its_content(
        sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for parent in (tmp_path, *tmp_path.parents):
        if parent.owner() == "root" or parent.stat().st_uid == os.getuid():
            parent.chmod(parent.stat().st_mode | 0o055)
        if parent == Path("/tmp"):
            break
    monkeypatch.setenv("COT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("verifiers.cell.compiler._headers", lambda *_: "/nowhere")
    code = "#include <cstdio>\nint main() { puts(\"kept\"); }"
    assert run(sandbox, code, language="c++").stdout == b"kept\n"
    kept, = (tmp_path / "cache" / "programs").iterdir()
    written = kept.stat().st_mtime_ns, kept.stat().st_ino
    assert run(sandbox, code, language="cpp").stdout == b"kept\n"
    assert kept.stat().st_ino == written[1]
    assert run(sandbox, f"{code} ", language="cpp").stdout == b"kept\n"
    assert len(list((tmp_path / "cache" / "programs").iterdir())) == 2


def test_a_missing_compiler_is_a_sandbox_error_that_says_what_to_install(
        sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verifiers.cell.languages.shutil.which", lambda _: None)
    got = run(sandbox, "int main() {}", language="cpp")
    assert (got.outcome, got.reason) == ("sandbox_error", "/usr/bin/g++ is not installed: apt install g++")


def test_a_language_that_is_not_in_the_table_is_one_sentence(sandbox: Sandbox) -> None:
    with pytest.raises(Unknown, match="no language 'cobol'; there are python, cpp"):
        run(sandbox, "", language="cobol")


# -- conversations ---------------------------------------------------------------------------------------------------

ECHO = "space = {}\nexec(program, space)\nwhile (got := channel.receive()) is not None: channel.send(space['f'](got))"


def test_a_conversation_with_a_program(sandbox: Sandbox) -> None:
    with sandbox.job(Program("python", "def f(data): return data[::-1]"), Limits()) as job:
        talker = job.talk(ECHO)
        for message in (b"abc", b"", b"x" * 3_000_000):
            assert talker.send(message)
            assert talker.receive(5) == message[::-1]
        assert talker.end().outcome == "ran"
        assert job.run(Call("f", ("ab",))).result == "ba"  # and the job goes on


def test_a_conversation_can_be_ended_at_once(sandbox: Sandbox) -> None:
    with sandbox.job(Program("python", "def f(data):\n    while True: pass"), Limits(cpu_s=50)) as job:
        talker = job.talk(ECHO)
        talker.send(b"x")
        assert talker.receive(0.2) is None
        assert talker.kill().cpu_s < 10
        assert job.run(Stdin(b"")).outcome == "ran"


def test_a_process_that_ends_or_talks_nonsense_says_nothing(sandbox: Sandbox) -> None:
    code = "import os\ndef f(data): os.write(3, b'\\xff' * 9); os._exit(0)"
    with sandbox.job(Program("python", code), Limits()) as job:
        talker = job.talk(ECHO)
        talker.send(b"x")
        assert talker.receive(5) is None
        assert talker.end().outcome == "ran"


# -- cells that are lost ---------------------------------------------------------------------------------------------


def test_a_test_whose_cell_is_lost_is_repeated_on_a_fresh_one() -> None:
    with Sandbox() as sandbox, sandbox.job(Program("python", "print(1)"), Limits()) as job:
        assert job.run(Stdin(b"")).stdout == b"1\n"
        kill_cells()
        assert job.run(Stdin(b"")).stdout == b"1\n"


def test_a_program_that_costs_two_cells_gets_no_third(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox() as sandbox:
        with monkeypatch.context() as broken, sandbox.job(Program("python", "print(1)"), Limits()) as job:
            broken.setattr("verifiers.cell.jobs.Job._exchange", lambda *_: {"status": "nonsense"})
            assert job.run(Stdin(b"")).outcome == "sandbox_error"
        with sandbox.job(Program("python", "print(1)"), Limits()) as job:
            assert "no third" in job.run(Stdin(b"")).reason
        assert run(sandbox, "print(2)").stdout == b"2\n"


def test_cells_are_replaced_after_a_number_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verifiers.cell.cell.JOBS_BETWEEN_LOOKS", 2)
    with Sandbox() as sandbox:
        assert len({cell_pid(sandbox) for _ in range(6) if run(sandbox, "print(1)").outcome == "ran"}) == 1
        monkeypatch.setattr("verifiers.cell.cell.MOST_JOBS", 3)
        assert len({cell_pid(sandbox) for _ in range(6) if run(sandbox, "print(1)").outcome == "ran"}) > 1


def test_a_cell_that_has_grown_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verifiers.cell.cell.JOBS_BETWEEN_LOOKS", 1)
    monkeypatch.setattr("verifiers.cell.cell.MOST_GROWN_KB", -1 << 30)
    with Sandbox() as sandbox:
        assert len({cell_pid(sandbox) for _ in range(3) if run(sandbox, "print(1)").outcome == "ran"}) > 1


def test_a_second_job_at_the_same_time_is_an_error_of_the_caller(sandbox: Sandbox) -> None:
    with sandbox.job(Program("python", ""), Limits()) as job, sandbox.job(Program("python", ""), Limits()) as other:
        job.run(Stdin(b""))
        with pytest.raises(RuntimeError, match="has a job already"):
            other.run(Stdin(b""))
    assert run(sandbox, "print(1)").stdout == b"1\n"


def test_a_cell_outlives_the_thread_that_started_it() -> None:
    with Sandbox() as sandbox:
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(run, sandbox, "print(1)").result().stdout == b"1\n"
            first = cell_pid(sandbox)
        assert run(sandbox, "print(1)").stdout == b"1\n"
        assert cell_pid(sandbox) == first


def test_a_conversation_left_open_ends_with_its_job(sandbox: Sandbox) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with sandbox.job(Program("python", ""), Limits(cpu_s=50)) as job:
        job.talk("while True: pass")
    assert len(os.listdir("/proc/self/fd")) == before
    assert run(sandbox, "print(1)").stdout == b"1\n"


def test_a_program_that_takes_all_memory_to_compile_has_met_its_limit(sandbox: Sandbox) -> None:
    assert run(sandbox, "x = [1, 2]\n" * 2_000_000).outcome == "memory_limit"
    assert run(sandbox, "print(1)").stdout == b"1\n"


def test_a_program_that_does_not_finish_compiling_is_ended(
        sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verifiers.cell.jobs.COMPILE_SECONDS", 0.0)
    monkeypatch.setattr("verifiers.cell.jobs.PATIENCE", 0.3)
    got = run(sandbox, "x = [1, 2]\n" * 400_000, cpu_s=0.01, wall_s=0.01, memory_mb=4096)
    assert got.outcome == "timeout"
    assert "compiling included" in got.reason
    monkeypatch.undo()
    assert run(sandbox, "print(1)").stdout == b"1\n"


def cell_pid(sandbox: Sandbox) -> int:
    cell = sandbox._cell
    assert cell and cell._process
    return cell._process.pid


def kill_cells() -> None:
    for pid in children_of(os.getpid()):
        if Path(f"/proc/{pid}/comm").read_text() == "bwrap\n":
            os.kill(pid, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    return [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]


def descendants_of(pid: int) -> set[int]:
    found = set(children_of(pid))
    for child in list(found):
        found |= descendants_of(child)
    return found


SUPERVISOR = """
import sys
from verifiers.sandbox import *
with Sandbox().job(Program("python", sys.argv[1]), Limits(cpu_s=60, wall_s=60, processes=8, allow_fork=True)) as job:
    print("ready", flush=True)
    job.run(Stdin(b""))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_everything_goes_when_the_supervisor_is_killed(number: signal.Signals) -> None:
    busy = "import os\nos.fork(); os.setsid() if os.getpid() > 2 else 0; os.fork()\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR, busy], stdout=subprocess.PIPE,
                          cwd=Path(__file__).parents[2]) as process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        while len(family := descendants_of(process.pid)) < 6:  # bwrap, zygote, job, and four of the program
            time.sleep(0.01)
        process.send_signal(number)
        process.wait()
    deadline = time.monotonic() + 10
    while (left := [pid for pid in family if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert left == []


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_cell_works_under_the_memory_limit_of_a_worker_of_the_pool() -> None:
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n" + textwrap.dedent("""
        from verifiers.sandbox import *
        print(run_all(Program("python", "print(1)"), [Stdin(b"")], Limits(memory_mb=6000))[0].stdout)
    """)
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           cwd=Path(__file__).parents[2]).stdout
    assert shown == "b'1\\n'\n"


def test_nothing_is_left_after_a_sandbox_is_closed() -> None:
    descriptors, others = set(os.listdir("/proc/self/fd")), descendants_of(os.getpid())
    with Sandbox() as sandbox:
        assert run(sandbox, "print(1)").outcome == "ran"
        assert run(sandbox, "import os; os.kill(os.getppid(), 9)").outcome in ("ran", "runtime_error")
        family, cell = descendants_of(os.getpid()) - others, sandbox._cell
        assert len(family) >= 2 and cell
        group = cell.memory
    assert [pid for pid in family if is_alive(pid)] == []
    assert set(os.listdir("/proc/self/fd")) == descriptors
    assert group is None or not group._path.exists()


# -- levels ----------------------------------------------------------------------------------------------------------


def test_the_level_is_found_by_a_probe(sandbox: Sandbox) -> None:
    assert sandbox.level in ("T1", "T2")


def test_the_probe_finds_open_doors() -> None:
    cell = Cell("none")
    try:
        assert {"the network", "processes", "/etc"} & set(level.open_doors(cell).split(", "))
    finally:
        cell.kill()


def test_level_two_contains_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(level, "LEVELS", ["T2"])
    with Sandbox() as sandbox:
        assert sandbox.level == "T2"
        assert run(sandbox, "print(open('/etc/passwd').read())").outcome == "runtime_error"
        assert run(sandbox, "import os; os.kill(-1, 9); os.kill(os.getppid(), 9); print(1)").outcome != "sandbox_error"
        assert run(sandbox, "print(1)").stdout == b"1\n"


@pytest.mark.parametrize(("missing", "advice"), [
    ("program", "apt install bubblewrap"), ("interpreter", "apt install python3")])
def test_without_isolation_it_refuses_and_says_what_to_install(
        monkeypatch: pytest.MonkeyPatch, missing: str, advice: str) -> None:
    monkeypatch.setattr(bwrap, missing, lambda: None)
    with Sandbox() as sandbox, pytest.raises(SandboxMissing, match=advice) as caught:
        run(sandbox, "print(1)")
    assert "--unsafe-no-sandbox" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("setting", "value", "advice"), [
    (0, "1\n", "sysctl kernel.apparmor_restrict_unprivileged_userns=0"), (1, "0\n", "unprivileged_userns_clone=1"),
    (2, "0\n", "max_user_namespaces=15000")])
def test_the_advice_names_the_setting(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: int, value: str, advice: str) -> None:
    (tmp_path / "setting").write_text(value)
    row = level.SETTINGS[setting]
    monkeypatch.setattr(level, "SETTINGS", [(str(tmp_path / "setting"), *row[1:])])
    assert advice in level.advice(["bwrap: No permissions"])


def test_a_cell_that_contains_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(level, "open_doors", lambda _: "the network")
    with Sandbox() as sandbox, pytest.raises(SandboxMissing, match="could reach the network"):
        _ = sandbox.level


def test_unsafe_limits_amounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(level, "LEVELS", [])
    with Sandbox(unsafe_no_sandbox=True) as sandbox:
        assert sandbox.level == "none"
        assert run(sandbox, "print(input())", Stdin(b"1")).stdout == b"1\n"
        assert run(sandbox, "while True: pass", cpu_s=0.3).outcome == "timeout"
        assert run(sandbox, "x = bytearray(1 << 30)").outcome == "memory_limit"
        daemon = run(sandbox, "import os, time\nif not os.fork(): os.setsid(); time.sleep(60)", allow_fork=True,
                     processes=4)
        assert daemon.outcome == "ran" and daemon.wall_s < 30


def test_what_is_there_is_described() -> None:
    rows = dict(describe())
    assert rows["sandbox"].startswith("level T")
    assert {"bubblewrap", "interpreter", "memory cgroup", "language cpp"} <= rows.keys()


def test_the_shared_sandbox_is_one_for_each_role() -> None:
    assert shared() is shared() is not shared("tests")


@pytest.mark.parametrize("fake", ["types.SimpleNamespace(generic=G)", "types.SimpleNamespace()", "7"])
def test_a_false_numpy_makes_no_object_a_number(sandbox: Sandbox, fake: str) -> None:
    code = f"""
        import sys, types
        class G:
            def item(self): return self
            def __eq__(self, other): return True
        sys.modules["numpy"] = {fake}
        def f(): return G()
    """
    with sandbox.job(Program("python", textwrap.dedent(code)), Limits()) as job:
        got = job.run(Call("f"))
    assert got.outcome == "runtime_error" or got.result is OPAQUE
