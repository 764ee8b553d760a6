"""The command line `cot`. Imports are lazy: `cot --help` answers at once. A user's mistake is one sentence."""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).parent / "recipes"

BUDGETS: dict[str, tuple[type, str]] = {
    "max_tokens": (int, "stop asking at so many tokens written by the teacher, over all starts of the run"),
    "max_usd": (float, "stop asking at this cost in US dollars, over all starts of the run"),
    "max_gpu_hours": (float, "stop asking after so many GPU hours of the teacher's servers, over all starts"),
    "max_seconds": (float, "stop asking after so many seconds"),
}
"""Options of `cot run` that set `[budget]`."""

UNSAFE = "run programs although this machine offers no isolation; such verdicts are marked and never exported"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 a user's mistake, 75 a budget or quota is used up (the same
    command goes on later), 130 interrupted."""
    from factory.protocols import Exhausted, UserError

    args = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return int(args.command(args) or 0)
    except Exhausted as ended:
        _told(str(ended))
        return os.EX_TEMPFAIL
    except UserError as error:
        return _told(str(error))
    except KeyboardInterrupt:
        _end_bars()
        _told("interrupted; nothing that was finished is lost, and the same command goes on from here")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _told(_os_sentence(error))


def _interrupt(*_: Any) -> None:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # started by `nohup … &`, which takes Ctrl-C away
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)  # asyncio takes a Ctrl-C gently: what is finished is still written


def _end_bars() -> None:
    """A bar that was cut off leaves the cursor in its line."""
    if tqdm := sys.modules.get("tqdm"):
        for bar in list(getattr(tqdm.tqdm, "_instances", ())):
            bar.close()


def _told(sentence: str) -> int:
    print(f"cot: {sentence}", file=sys.stderr)
    return 1


def _os_sentence(error: OSError) -> str:
    where, kept = f" ({error.filename})" if error.filename else "", "what is finished is kept"
    known = {
        errno.ENOSPC: f"no space is left on the disk{where}: free some and run the same command again; {kept}",
        errno.EDQUOT: f"the disk quota is used up{where}: free some space and run the same command again; {kept}",
        errno.EFBIG: f"the file would be larger than is allowed here{where}: raise `ulimit -f`; {kept}",
        errno.EPERM: f"that is not permitted{where}: choose another place with --lake DIR, or change its rights",
        errno.ENAMETOOLONG: f"the name is too long{where}: choose a shorter one",
        errno.EACCES: f"no permission to write{where}: choose another place with --lake DIR, or change its rights",
        errno.EROFS: f"the file system is read-only{where}: choose another place with --lake DIR",
        errno.ENOENT: f"there is no such file{where}",
        errno.EISDIR: f"that is a folder, not a file{where}",
        errno.ENOTDIR: f"a part of that path is a file, not a folder{where}: choose another place with --lake DIR",
        errno.EEXIST: f"there is a file in the way{where}: choose another place with --lake DIR",
    }
    if error.errno in known:
        return known[error.errno]
    raise error


# -- the commands ----------------------------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> None:
    _allow_no_sandbox(args)
    _run_parts(args, "factory")


def _allow_no_sandbox(args: argparse.Namespace) -> None:
    """For this process and all that it starts; the verdicts say so."""
    if args.unsafe_no_sandbox:
        os.environ["COT_UNSAFE_NO_SANDBOX"] = "1"
        print("cot: programs may run WITHOUT a sandbox, with limits only; such verdicts have the grade 'unsafe', and "
              "their rows are not exported", file=sys.stderr)


def demo(args: argparse.Namespace) -> None:
    os.chdir(Path(__file__).parent.parent)
    args.recipe = RECIPES / "demo.toml"
    _run_parts(args, "factory")


def train(args: argparse.Namespace) -> None:
    _run_parts(args, "train")


def evaluate(args: argparse.Namespace) -> None:
    _run_parts(args, "evaluate")


def _run_parts(args: argparse.Namespace, flow: str) -> None:
    """Check, run the flow (or the plain stages), and report, whatever happened."""
    from factory.lake import Lake
    from factory.plugins import allow_private
    from factory.recipe import load
    from factory.run import Run
    from flows import check

    allow_private(os.getcwd())
    where = "rounds.budget" if flow == "rounds" else "budget"
    args.set += [f"{where}.{name}={value}" for name in BUDGETS if (value := getattr(args, name, None)) is not None]
    recipe = load(args.recipe, args.set)
    check.check(recipe)
    lake = Lake(args.lake)
    try:
        if args.direct:
            _directly(recipe, lake, flow)
        else:
            _quiet_prefect()
            from flows.distill import run_flow

            run_flow(flow, args.recipe, args.lake, args.set)
    finally:
        if flow == "rounds":
            _report_rounds(lake, recipe.name)
        else:
            _report(lake, Run(recipe, lake))


def _directly(recipe: Any, lake: Any, flow: str) -> None:
    from factory.run import Run
    from flows import pipeline, rounds

    this = Run(recipe, lake)
    whole: dict[str, Callable[[], None]] = {
        "rounds": lambda: rounds.everything(this),
        "factory": lambda: pipeline.everything(this),
        "train": lambda: pipeline.locked(this, pipeline.train_all),
        "evaluate": lambda: pipeline.locked(this, pipeline.evaluate_all)}
    whole[flow]()


def _quiet_prefect() -> None:
    """Settings for a run in a terminal: Prefect's lines go to its UI, warnings here too. What is set stays."""
    for name, value in (("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "WARNING"), ("DO_NOT_TRACK", "1"),
                        ("PREFECT_SERVER_ANALYTICS_ENABLED", "false")):
        os.environ.setdefault(name, value)


def _report(lake: Any, run: Any) -> None:
    from factory.stages import on_policy
    from flows import curves, report

    ids = [run.id, *(own.id for own in on_policy.runs(run))]
    rows = {row["id"]: row for row in lake.rows("SELECT * FROM runs WHERE id IN (SELECT unnest($1))", [ids])}
    if run.id not in rows:
        return
    print("\n\n".join(report.text(lake, rows[name]) for name in ids if name in rows))
    path = report.picture(lake, rows[run.id], lake.place("plots", f"{run.recipe.name}.png"))
    for picture in [path, *curves.pictures(lake, rows[run.id], path.parent)]:
        print(f"\npicture: {picture}")


def _report_rounds(lake: Any, name: str) -> None:
    from flows import rounds_report as report

    if not lake.value("SELECT count(*) FROM rounds WHERE name = $1", [name]):
        return
    rows = report.latest(lake, name)
    print(report.text(rows))
    if any(row["score"] is not None for row in rows):
        print(f"\npicture: {report.picture(rows, lake.place('plots', f'{name}-rounds.png'))}")


def rounds_run(args: argparse.Namespace) -> None:
    _run_parts(args, "rounds")


def rounds_status(args: argparse.Namespace) -> None:
    from flows import rounds_report as report

    print(report.text(report.latest(_lake(args), args.run)))


def check(args: argparse.Namespace) -> None:
    from factory.plugins import allow_private
    from factory.recipe import load
    from factory.stages import embed
    from flows import check as checking

    allow_private(os.getcwd())
    recipe = load(args.recipe, args.set)
    for line in [*checking.check(recipe), *embed.check(recipe)]:
        print(f"ok  {line}")


def write_tests(args: argparse.Namespace) -> None:
    from factory.plugins import allow_private
    from factory.recipe import load
    from flows import write_tests as writing

    allow_private(os.getcwd())
    print(writing.write(load(args.recipe, args.set), args.lake, args.out, args.inputs))


def status(args: argparse.Namespace) -> None:
    from flows import report

    lake = _lake(args)
    print(report.text(lake, report.latest_run(lake, args.run)))


def sql(args: argparse.Namespace) -> None:
    from flows import query

    query.query(_lake(args), args.query, args.format, args.out)


def show(args: argparse.Namespace) -> None:
    from flows import query

    print(query.show(_lake(args), args.trace))


def report(args: argparse.Namespace) -> None:
    from flows import html_report
    from flows import report as reporting

    lake = _lake(args)
    row = reporting.latest_run(lake, args.run)
    print(html_report.write(lake, row, args.out or lake.place("plots", f"{row['name']}.html")))


def explain(args: argparse.Namespace) -> None:
    from factory.plugins import allow_private
    from flows import explain as explaining

    allow_private(os.getcwd())
    print(explaining.explain(_lake(args), args.trace))


def verify(args: argparse.Namespace) -> int:
    from flows.verify_file import verify_file

    _allow_no_sandbox(args)
    return verify_file(args.file, args.out, args.verifier, args.workers, args.timeout)


def doctor(_: argparse.Namespace) -> int:
    from verifiers.sandbox import describe

    rows = describe()
    for name, words in rows:
        print(f"{name:20}  {words}")
    return int(not rows[0][1].startswith("level"))


def audit(args: argparse.Namespace) -> None:
    from flows import audit as auditing
    from flows import report

    lake = _lake(args)
    if args.changes:
        print("\n".join(auditing.changes(lake, verifier=args.verifier) or [
            "no verifier has judged with two versions yet: raise its VERSION and run the recipe again"]))
    else:
        print(auditing.text(lake, report.latest_run(lake, args.run)["id"] if args.run else None, args.verifier))


def export(args: argparse.Namespace) -> None:
    from flows.export import export as exporting

    for line in exporting(_lake(args), args.run, args.target, args.private):
        print(line)


def estimate(args: argparse.Namespace) -> None:
    from factory.plugins import allow_private
    from factory.recipe import load
    from flows import check
    from flows import estimate as estimating

    allow_private(os.getcwd())
    recipe = load(args.recipe, args.set)
    check.check(recipe)
    print(estimating.estimate(recipe, args.lake, args.problems))


def schedule(args: argparse.Namespace) -> None:
    from flows.schedule import schedule as scheduling

    scheduling(args.recipe, args.lake, args.set, args.cron, args.every)


def teacher_serve(args: argparse.Namespace) -> None:
    import asyncio

    from factory.protocols import UserError
    from flows.serve import serve, serve_script

    if args.set and not args.scripted:
        raise UserError("--set is for the scripted teacher: add --scripted, or leave it out")
    asyncio.run(serve_script(args.set, args.port) if args.scripted else serve(args.model, args.port))


def _lake(args: argparse.Namespace) -> Any:
    from factory.lake import Lake

    return Lake(args.lake, create=False)


# -- the words -------------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The whole command line; the tests of the docs read it."""
    whole = argparse.ArgumentParser(
        prog="cot", description="CoT Factory: problems -> verified reasoning traces -> datasets -> a better student.",
        epilog="Start with `cot demo`: no GPU, no key, no download.")
    commands = whole.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, does: Callable[[argparse.Namespace], Any], text: str, recipe: bool = False,
            lake: bool = True, below: Any = commands) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = below.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.set_defaults(command=does)
        if recipe:
            made.add_argument("recipe", type=Path, metavar="RECIPE", help="a recipe file (.toml)")
        if recipe or name == "demo":
            made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                              help="change a value of the recipe, for example generate.samples=2; may be repeated")
        if lake:
            made.add_argument("--lake", type=Path, default=Path(os.environ.get("COT_LAKE", "data/lake")), metavar="DIR",
                              help="the folder of tables, datasets and students (default: $COT_LAKE or data/lake)")
        return made

    for name, does, text in (("run", run, "run a recipe: what is finished already is not done again"),
                             ("demo", demo, "run the bundled demo recipe"),
                             ("train", train, "only train the students of a recipe, from the datasets that are there"),
                             ("evaluate", evaluate, "only evaluate the students of a recipe")):
        made = add(name, does, text, recipe=name != "demo")
        made.add_argument("--direct", action="store_true", help="without Prefect: no server, no flow, the same result")
        for budget, (kind, words) in BUDGETS.items() if does in (run, demo) else ():
            made.add_argument(f"--{budget.replace('_', '-')}", type=kind, metavar="N", help=words)
        if does is run:
            made.add_argument("--unsafe-no-sandbox", action="store_true", help=UNSAFE)
    _add_rounds(add, commands)
    add("check", check, "find what is wrong with a recipe before anything starts", recipe=True, lake=False)
    made = add("estimate", estimate, "ask a few problems of a recipe, and say what all will take", recipe=True)
    made.add_argument("--problems", type=int, default=20, metavar="N", help="problems of the pilot (default: 20)")
    made = add("tests", write_tests, "have a recipe's teacher write tests for its problems, and keep what a quorum of "
               "its solutions agrees on", recipe=True)
    made.add_argument("out", type=Path, metavar="OUT.jsonl", help="where the problems with their tests go")
    made.add_argument("--inputs", type=int, default=50, metavar="N", help="generated inputs a problem (default: 50)")
    _add_reading(add)
    made = add("schedule", schedule, "run a recipe again and again, as a Prefect deployment", recipe=True)
    when = made.add_mutually_exclusive_group(required=True)
    when.add_argument("--cron", metavar="LINE", help='for example "0 3 * * *": every night at three')
    when.add_argument("--every", type=float, metavar="SECONDS", help="an interval instead of a cron line")
    teacher = commands.add_parser("teacher", help="play with the bundled teacher",
                                  description="Play with the bundled teacher.")
    serve = teacher.add_subparsers(metavar="COMMAND", required=True).add_parser(
        "serve", help="serve it as an OpenAI-compatible endpoint until Ctrl-C")
    serve.set_defaults(command=teacher_serve)
    serve.add_argument("--model", default="data/teacher", help="a model folder or hub name (default: data/teacher)")
    serve.add_argument("--port", type=int, default=8000, help="the port (default: 8000)")
    serve.add_argument("--scripted", action="store_true", help="no model: the scripted teacher, for dry runs")
    serve.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                       help="with --scripted: how it behaves, for example delay=0.5 or http_500=0.1; may be repeated")
    return whole


def _add_rounds(add: Callable[..., argparse.ArgumentParser], commands: Any) -> None:
    text = "the recipe again and again: the best student so far is the next teacher"
    below = commands.add_parser("rounds", help=text, description=text[0].upper() + text[1:] + ".").add_subparsers(
        metavar="COMMAND", required=True)
    made = add("run", rounds_run, "hold the rounds of a recipe with [rounds]: what is finished is not done again",
               recipe=True, below=below)
    made.add_argument("--direct", action="store_true", help="without Prefect: no server, no flow, the same result")
    for name in ("max_tokens", "max_usd", "max_seconds"):
        kind, words = BUDGETS[name]
        made.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N",
                          help=f"{words.partition(',')[0]}, over all rounds")
    made = add("status", rounds_status, "show each round's data, scores with intervals, cost, and what the gate said",
               below=below)
    made.add_argument("run", nargs="?", metavar="RUN", help="the recipe's name (default: the newest rounds)")


def _add_reading(add: Callable[..., argparse.ArgumentParser]) -> None:
    made = add("status", status, "show a run: funnel, drops by reason, tokens, cost, progress, also while it is going")
    made.add_argument("run", nargs="?", metavar="RUN", help="the recipe's name (default: the newest run)")
    made = add("sql", sql, "ask the lake in SQL, also while a run is going")
    made.add_argument("query", metavar="QUERY", help='for example "select status, count(*) from verdicts group by 1"')
    made.add_argument("--format", choices=("table", "json", "csv", "parquet"), default="table")
    made.add_argument("--out", type=Path, metavar="FILE", help="write here (needed for parquet)")
    made = add("show", show, "show one trace with its verdict, readable")
    made.add_argument("trace", metavar="TRACE_ID", help="an id of the table traces; its beginning is enough")
    made = add("explain", explain, "say why a trace was kept or dropped in each dataset")
    made.add_argument("trace", metavar="TRACE_ID", help="an id of the table traces; its beginning is enough")
    made = add("report", report, "write a run's funnel, pass rates, lengths, drops and cost as one page of HTML")
    made.add_argument("run", nargs="?", metavar="RUN", help="the recipe's name (default: the newest run)")
    made.add_argument("--out", type=Path, metavar="FILE.html", help="where (default: plots/RUN.html in the lake)")
    made = add("verify", verify, "judge rows of a JSON lines file", lake=False)
    made.add_argument("file", type=Path, metavar="FILE.jsonl",
                      help='rows {"id", "reference", "response"[, "verifier"]}; - reads standard input')
    made.add_argument("--out", type=Path, metavar="FILE", help="where the verdicts go (default: standard output)")
    made.add_argument("--verifier", default="math_equal", help="for rows that name none (default: math_equal)")
    made.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    made.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS",
                      help="limit of one row (default: 5), or more where its verifier knows that tests need more")
    made.add_argument("--unsafe-no-sandbox", action="store_true", help=UNSAFE)
    add("doctor", doctor, "show what isolates programs on this machine, and what to install", lake=False)
    made = add("audit", audit, "show how often verifiers were wrong about planted answers, and doubtful references")
    made.add_argument("--run", metavar="RUN", help="only of the run of that name (default: of all runs)")
    made.add_argument("--verifier", metavar="NAME", help="only of this verifier")
    made.add_argument("--changes", action="store_true",
                      help="show instead what the newest version of a verifier judges otherwise than the one before")
    made = add("export", export, "copy a run's datasets to a folder, or push them to the Hugging Face hub")
    made.add_argument("run", metavar="RUN", help="the recipe's name")
    made.add_argument("target", metavar="DIR|hf://owner/name", help="a folder, or a repository on the hub")
    made.add_argument("--private", action="store_true", help="a new repository on the hub is private")


if __name__ == "__main__":
    sys.exit(main())
