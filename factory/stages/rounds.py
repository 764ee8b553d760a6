"""Rounds: the recipe of each, the held-out problems of all, and the rows of the table `rounds`.

`flows.rounds` says in which order. A round is ordinary runs of recipes that follow from the one with [rounds]: that of
its teacher, and that of each student which is asked for traces of its own (`on_policy`). What it makes has ids of
content like everything else, so a round that was killed goes on where it was; its rows are written at once at its end.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from factory import models, plugins
from factory.lake import Lake, now
from factory.metrics import interval
from factory.protocols import Exhausted, UserError
from factory.recipe import Adaptive, Generate, MeasureSpec, OnPolicy, Plugin, Recipe, Rounds, Spending
from factory.records import canonical, content_id
from factory.run import Run, make_teacher, strategy_key
from factory.stages import gate, load, on_policy, seen, verify
from factory.stages.gate import DEV, Decision, Scores
from factory.stages.generate import buy_all
from factory.stages.owed import Job
from factory.stages.scores import asked_how
from factory.stages.train import only_scores, trained

JUDGED, TEST = "judged", "test"
"""Parts of the held-out problems: those that the gate decides on, and those that nobody is asked before it has."""

FEWEST = 6
"""Problems of which all have to change for a p-value below 0.05: 2 / 2**6."""
LEAK = "no hint in it"
"""The rule that drops what states the answer that it was told."""

Row = dict[str, Any]


# -- recipes ---------------------------------------------------------------------------------------------------------


def recipe_of(recipe: Recipe, number: int, best: Path) -> Recipe:
    """The recipe of round `number` (1 is the first), with the best model so far as its teacher from the second on; its
    runs follow from it (`runs`).
    """
    rounds = options(recipe)
    changed: Row = {"name": f"{recipe.name}-r{number}", "round": number, "evaluate": None}
    if number > 1:
        changed["teacher"] = (recipe.on_policy.teacher or recipe.teacher).with_params(model=str(best))
    if rounds.start == "best":
        changed["students"] = [spec if _is_student(recipe, spec.base) else spec.model_copy(update={"base": str(best)})
                               for spec in recipe.students]
    if rounds.vary:
        changed["problems"] = _varied(recipe.problems, rounds.vary, number)
        changed["on_policy"] = recipe.on_policy.model_copy(
            update={"problems": _varied(recipe.on_policy.problems, rounds.vary, number)})
    made = recipe.model_copy(update=changed)
    made = _rationalising(made) if rounds.rationalise else made
    return _exploring(made, rounds.explore) if rounds.explore else made


def options(recipe: Recipe) -> Rounds:
    if recipe.rounds is None:
        raise UserError(f"the recipe '{recipe.name}' has no [rounds]: add it, with `dev`, the problems that the gate "
                        "decides on")
    return recipe.rounds


def _is_student(recipe: Recipe, name: str) -> bool:
    return name in [spec.name for spec in recipe.students]


def _varied(sources: Sequence[Plugin], name: str, number: int) -> list[Plugin]:
    for spec in sources:
        if not isinstance(spec.params.get(name), int):
            known = list(plugins.parameters("source", spec.plugin))
            how = f": set {name} = 0 there" if name in known else plugins.did_you_mean(name, known)
            raise UserError(f"rounds.vary is '{name}', and the source '{spec.plugin}' has no number of that name{how}, "
                            "or leave `vary` out")
    return [spec.with_params(**{name: spec.params[name] + number - 1}) for spec in sources]


def _rationalising(recipe: Recipe) -> Recipe:
    """What the teacher gets wrong it is asked again with the reference as a hint; what shows the hint is dropped."""
    plain = recipe.generate.strategy
    if plain.plugin != "sample":
        raise UserError(f"rounds.rationalise asks again after the strategy sample, and generate.strategy is "
                        f"'{plain.plugin}': take sample, or leave one of the two out")
    known = [spec.column for spec in recipe.measures]
    measures = recipe.measures if "hint_leak" in known else [*recipe.measures, MeasureSpec(plugin="hint_leak")]
    strategy = Plugin(plugin="rationalise", params=plain.params)
    return recipe.model_copy(update={
        "generate": recipe.generate.model_copy(update={"strategy": strategy}), "measures": measures,
        "rules": {**recipe.rules, LEAK: "hint_leak = 0"},
        "on_policy": recipe.on_policy.model_copy(update={"strategy": recipe.on_policy.strategy or plain})})


def _exploring(recipe: Recipe, most: int) -> Recipe:
    """Problems that none of `generate.samples` solved are asked up to `most` times in all, until one does."""
    usual = recipe.generate.samples
    rule = Adaptive(always=usual, correct=1, least=most, low=0.0, high=1.0, certainty=0.999)
    own = recipe.on_policy.model_copy(update={"samples": recipe.on_policy.samples or usual})
    generate = recipe.generate.model_copy(update={"samples": max(most, usual), "adaptive": rule})
    return recipe.model_copy(update={"generate": generate, "on_policy": own})


def base_of(recipe: Recipe) -> Path:
    """The model that all students start from. Raises UserError where they start from several."""
    found = sorted({spec.base for spec in recipe.students if not _is_student(recipe, spec.base)})
    if len(found) != 1:
        raise UserError(f"rounds begin with one model, and the students start from {len(found) or 'none'}"
                        f"{' (' + ', '.join(found) + ')' if found else ''}: let them start from one")
    return Path(found[0])


def held_out_of(recipe: Recipe) -> Recipe:
    """How the held-out problems of all sets are asked. Raises UserError where [evaluate] does not say it."""
    spec, rounds = recipe.evaluate, options(recipe)
    if spec is None:
        raise UserError("rounds need [evaluate] with a `teacher`: it says how a student is asked, and its problems are "
                        "for the report only")
    asked = Generate.model_validate({"strategy": spec.strategy, "samples": spec.samples})
    return recipe.model_copy(update={
        "name": f"{recipe.name}-held-out", "problems": [rounds.dev, *(one.problems for one in rounds.panel)],
        "generate": asked, "datasets": [], "students": [], "measures": [], "rules": {},
        "on_policy": OnPolicy()})  # type: ignore[call-arg]


def runs(recipe: Recipe, lake: Lake) -> Iterator[Run]:
    """The runs of a round, given by its recipe with the name of its reward model in [rounds]: each follows from what
    was trained in those before it, so train one's students before the next.
    """
    reward = options(recipe).reward
    made = recipe.model_copy(update={"rounds": None})
    if reward:
        yield (ranking := Run(_ranking(made, reward), lake))
        if (model := trained(ranking).get(reward)) is None:
            return
        made = _scored(made, reward, model)
    yield (main := Run(made, lake))
    yield from on_policy.runs(main)


def _ranking(recipe: Recipe, reward: str) -> Recipe:
    """What the reward model is made of, and nothing else."""
    student = next(spec for spec in recipe.students if spec.name == reward)
    datasets = [spec for spec in recipe.datasets if spec.name == student.dataset]
    return recipe.model_copy(update={"name": f"{recipe.name}-{reward}", "datasets": datasets, "students": [student]})


def _scored(recipe: Recipe, reward: str, model: Path) -> Recipe:
    """The rest, with the reward model's scores as a measure."""
    students = [spec for spec in recipe.students if spec.name != reward]
    wanted = {spec.dataset for spec in students}
    scores = MeasureSpec(plugin="reward", params={"model": str(model)}, name="reward")
    return recipe.model_copy(update={
        "measures": [*recipe.measures, scores], "students": students,
        "datasets": [spec for spec in recipe.datasets if spec.name in wanted]})


# -- the loop --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loop:
    """The rounds of a recipe on a lake. Another number of rounds or another budget is the same loop, which goes on."""

    run: Run

    @property
    def recipe(self) -> Recipe:
        return self.run.recipe

    @property
    def options(self) -> Rounds:
        return options(self.recipe)

    @cached_property
    def id(self) -> str:
        decides = self.options.model_dump(mode="json", exclude={"count", "budget"})
        return content_id("loop", self.run.id, decides, models.digest(self.base))

    @cached_property
    def base(self) -> Path:
        return base_of(self.recipe)

    @cached_property
    def arena(self) -> Run:
        """The held-out problems of all sets, as a run that makes nothing of them."""
        return Run(held_out_of(self.recipe), self.run.lake)

    def rows(self) -> list[Row]:
        """What happened so far, in order."""
        return self.run.lake.rows("SELECT * FROM rounds WHERE run_id = $1 ORDER BY round, place, created", [self.id])

    def job(self, model: Path, part: str = JUDGED) -> Job:
        """Held-out problems, to be asked of a model."""
        spec = self.arena.recipe.evaluate
        assert spec is not None
        teacher = make_teacher(spec.teacher.with_params(model=str(model)))
        return Job(self.arena, part, teacher, self.arena.recipe.generate)


def state(rows: Sequence[Row], budget_left: bool) -> tuple[Row | None, int, str]:
    """(the best model's row, the next round, why no further round is held: "" goes on)."""
    decided = [row for row in rows if row["student"]]
    best = next((row for row in reversed(decided) if row["promoted"]), None)
    number = max((row["round"] for row in decided), default=-1) + 1
    last = [row for row in decided if row["round"] == number - 1]
    stopped = next((row["stopped"] for row in reversed(last) if row["stopped"]), "")
    spent = next((row["reason"] for row in reversed(rows) if not row["student"]), "")
    return best, number, stopped or ("" if budget_left else spent)


# -- the budget ------------------------------------------------------------------------------------------------------


def left(loop: Loop, held: Sequence[Run]) -> Spending:
    """What is left of the loop's budget beside its closed rounds and the runs of this one. Raises Exhausted."""
    rows, costs = loop.rows(), list(_costs(held).values())
    lake, arena, found = loop.run.lake, [loop.arena.id], {}
    asked = {"usd": lake.value("SELECT coalesce(sum(usd), 0) FROM costs WHERE run_id = $1", arena),
             "seconds": lake.value("SELECT coalesce(sum(seconds), 0) FROM timings WHERE run_id = $1", arena)}
    for name, column in (("max_tokens", "tokens"), ("max_usd", "usd"), ("max_seconds", "seconds")):
        limit = getattr(loop.options.budget, name)
        used = sum(row[column] or 0 for row in (*rows, *costs))
        used += sum(row["evaluated_tokens"] or 0 for row in rows) if name == "max_tokens" else asked[column]
        if limit is not None and used >= limit:
            raise Exhausted(f"rounds.budget.{name} = {limit:g} is reached ({used:,.0f}): the rounds end with the best "
                            "student so far; raise it and run the same command again to go on")
        found[name] = None if limit is None else limit - used
    return Spending(**found)


def limited(run: Run, budget: Spending) -> Run:
    """The same run, which may spend so much more than it has: its own limits are of all its starts together."""
    cost, recipe = _cost(run), run.recipe
    more = {"max_tokens": cost["tokens"], "max_usd": cost["usd"], "max_seconds": 0}
    limits = {name: [limit for limit in (getattr(recipe.budget, name), _plus(getattr(budget, name), has))
                     if limit is not None] for name, has in more.items()}
    least = {name: min(values) for name, values in limits.items() if values}
    return Run(recipe.model_copy(update={"budget": recipe.budget.model_copy(update=least)}), run.lake)


def _plus(limit: float | None, more: float) -> float | None:
    return None if limit is None else limit + more


# -- held-out problems -----------------------------------------------------------------------------------------------


def load_held_out(loop: Loop) -> None:
    """Load the sets, and refuse those that the gate must not decide on."""
    arena, test = loop.arena, loop.recipe.evaluate
    assert test is not None
    with arena.timed("load") as counts:
        for name, spec in _judged(loop).items():
            counts["rows"] = counts.get("rows", 0) + load.load_part(arena, spec, name)
            load.load_part(arena, spec, JUDGED)
        for spec in test.problems:
            counts["rows"] += load.load_part(arena, spec, TEST)
    load.refuse_unknown_truth(arena, JUDGED, TEST)
    held = arena.lake.sql("""SELECT m.part, count(*) FILTER (p.split = 'test'), count(*) FROM members m
        JOIN problems p ON p.id = m.problem_id WHERE m.run_id = $1 AND m.part IN (SELECT unnest($2)) GROUP BY 1""",
        [arena.id, list(_judged(loop))]).fetchall()
    for name, count, all_of_them in held:
        if count:
            raise refusal(name)
        if all_of_them < FEWEST:
            print(f"warning: the gate decides on '{name}' with {all_of_them} problems, and no change on fewer than "
                  f"{FEWEST} is significant: it can neither promote nor refuse by them, so name more", file=sys.stderr)
    both = arena.lake.value("""SELECT count(*) FROM members a JOIN members b USING (run_id, problem_id)
        WHERE a.run_id = $1 AND a.part = $2 AND b.part = $3""", [arena.id, TEST, JUDGED])
    if both:
        raise UserError(f"{both} problems of evaluate.problems are also what the gate decides on: name another split, "
                        "file or seed in rounds.dev or rounds.panel")


def _judged(loop: Loop) -> dict[str, Plugin]:
    """The sets that the gate decides on, by their names."""
    return {DEV: loop.options.dev, **{one.name: one.problems for one in loop.options.panel}}


def refusal(name: str) -> UserError:
    where = "rounds.dev" if name == DEV else f"the set '{name}' of rounds.panel"
    return UserError(f"{where} holds problems of the split 'test': the gate never decides on those, for they would be "
                     "no test any more; name another split there, and the test split in evaluate.problems")


def refuse_overlap(loop: Loop, run: Run) -> None:
    """A held-out problem that a round trains on makes every figure of it worthless."""
    both = run.lake.value("""SELECT count(DISTINCT problem_id) FROM members a JOIN members b USING (problem_id)
        WHERE a.run_id = $1 AND a.part = 'train' AND b.run_id = $2""", [run.id, loop.arena.id])
    if both:
        raise UserError(f"{both} problems of round {run.recipe.round} are held out by rounds.dev, rounds.panel or "
                        "evaluate: name another split, file or seed there")


def beside(recipe: str, run: Run) -> dict[str, Job]:
    """What the gate of the rounds of `recipe` decides on, for the teacher of a run of theirs that is to be evaluated:
    it can be asked while its server is up. By the name of the stage.
    """
    model = run.recipe.teacher.params.get("model")
    if model not in [spec.base for spec in run.recipe.students]:
        return {}
    job = Loop(Run(Recipe.model_validate_json(recipe), run.lake)).job(Path(model))
    return {"evaluate the teacher": job} if on_policy.shares_server(run, job) else {}


def evaluate(loop: Loop, asked: Mapping[str, Path], parts: Sequence[str] = (JUDGED, TEST)
             ) -> dict[str, dict[str, Scores]]:
    """Scores of models (by name) on each set of the parts; what was answered already is not asked again."""
    spec = loop.recipe.evaluate
    jobs = {f"evaluate {name}{' on the test' if part == TEST else ''}": loop.job(path, part)
            for name, path in asked.items() for part in parts}
    buy_all(jobs, spec.at_once if spec else 1)
    for shard in verify.shards(loop.arena):
        verify.work(loop.run.lake, shard, loop.recipe.verify)
    sets = [*(_judged(loop) if JUDGED in parts else ()), *([TEST] if TEST in parts else [])]
    return {name: _scores(loop, loop.job(path).keys[0], sets) for name, path in asked.items()}


def _scores(loop: Loop, teacher: str, sets: Sequence[str]) -> dict[str, Scores]:
    arena, samples = loop.arena, loop.arena.recipe.generate.samples
    found: dict[str, list[tuple[Any, ...]]] = {}
    for part, *row in arena.lake.sql("""
            SELECT m.part, count(*) FILTER (v.status = 'correct'),
                   count(*) FILTER (v.status IN ('correct', 'wrong') AND t.finish_reason = 'stop'),
                   list(coalesce(t.digest, t.id)) FILTER (v.status = 'correct'), coalesce(sum(t.completion_tokens), 0)
            FROM members m JOIN problems p ON p.id = m.problem_id
            LEFT JOIN traces t ON t.problem_id = m.problem_id AND t.teacher = $2 AND t.strategy = $3 AND t.sample < $4
            LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier
            WHERE m.run_id = $1 AND m.part IN (SELECT unnest($5))
            GROUP BY m.part, m.problem_id ORDER BY m.part, m.problem_id""",
            [arena.id, teacher, strategy_key(arena.recipe.generate.strategy), samples, sets]).fetchall():
        found.setdefault(part, []).append(tuple(row))
    return {part: Scores(np.array([row[0] for row in rows]) / samples, np.array([row[1] for row in rows]) / samples,
                         *gate.diversity([row[2] or [] for row in rows]), tokens=int(sum(row[3] for row in rows)))
            for part, rows in found.items()}


# -- rows ------------------------------------------------------------------------------------------------------------


def close(loop: Loop, number: int, held: Sequence[Run]) -> list[Row]:
    """Evaluate the students of a round in order, each against the best so far, and write the round's rows. Only those
    whom the gate has promoted are asked the test problems, once it has.
    """
    best, _, _ = state(loop.rows(), True)
    students = [(run, spec.name, path) for run in held for spec in run.recipe.students
                if (path := trained(run).get(spec.name)) and not only_scores(spec)]
    names = {f"r{number} {name}": path for _, name, path in students}
    scores = evaluate(loop, {"best so far": Path(best["path"]) if best else loop.base, **names}, [JUDGED])
    mine, rows = scores["best so far"], list[Row]()
    if best is None:
        best = _row(loop, 0, 0, loop.base.name, loop.base, mine, None) | {
            "promoted": True, "reason": "where the rounds begin"}
        rows.append(best)
    costs = _costs(held)
    decided = []
    for place, (run, name, path) in enumerate(students):
        decision = gate.decide(scores[f"r{number} {name}"], mine, loop.options.diversity)
        decided.append(_row(loop, number, place, name, path, scores[f"r{number} {name}"], run) | _told(decision)
                       | costs.pop(run.id, {}) | {"against": f"{best['student']} of round {best['round']}"})
        if decision.promoted:
            best, mine = decided[-1], scores[f"r{number} {name}"]
    decided = decided or [_nothing(loop, number, best) | next(iter(costs.values()), {})]
    if not any(row["promoted"] for row in decided):
        decided[-1]["stopped"] = _why_stopped([row["kind"] for row in decided])
    _test(loop, [row for row in (*rows, *decided) if row["promoted"]])
    loop.run.lake.append_new("rounds", [{k: v for k, v in row.items() if k != "kind"} for row in (*rows, *decided)])
    return decided


def _test(loop: Loop, promoted: Sequence[Row]) -> None:
    """Note in the rows of those who passed the gate what they do on the test problems."""
    found = evaluate(loop, {f"r{row['round']} {row['student']}": Path(row["path"]) for row in promoted}, [TEST])
    for row, scores in zip(promoted, found.values(), strict=True):
        test = scores[TEST]
        low, high = interval(test.right)
        row |= dict(test_problems=len(test.right), test_score=float(test.right.mean()), test_low=low, test_high=high,
                    evaluated_tokens=row["evaluated_tokens"] + test.tokens,
                    test_contaminated=_met(loop, row["student"], Path(row["path"]), TEST))


def spent(loop: Loop, number: int, reason: str) -> Row:
    """The row of a budget that ends the loop, until it is raised."""
    row = {"id": content_id("round", loop.id, number, reason), "run_id": loop.id, "name": loop.recipe.name,
           "round": number, "place": -1, "student": "", "promoted": False, "reason": reason, "stopped": reason,
           "created": now()}
    loop.run.lake.append_new("rounds", [row])
    return row


def _row(loop: Loop, number: int, place: int, name: str, path: Path, scores: Mapping[str, Scores], run: Run | None
         ) -> Row:
    dev = scores[DEV]
    low, high = interval(dev.right)
    return dict(
        id=content_id("round", loop.id, number, name, models.digest(path)), run_id=loop.id, name=loop.recipe.name,
        round=number, place=place, student=name, path=str(path), made_by=run.id if run else None,
        problems=len(dev.right), samples=loop.arena.recipe.generate.samples, score=float(dev.right.mean()), low=low,
        high=high, asked=canonical(asked_how(loop.job(path))), distinct=dev.distinct, diversity=dev.diversity,
        contaminated=_met(loop, name, path, DEV), stopped="",
        evaluated_tokens=sum(one.tokens for one in scores.values()), created=now())


def _met(loop: Loop, student: str, model: Path, part: str) -> int | None:
    """How many of the problems it met in training, in this round or before; None for what was not trained here."""
    found = seen.met(loop.arena, student, model, part)
    return None if found is None else len(found)


def _told(decision: Decision) -> Row:
    gain = decision.dev.change
    panel = [{"name": one.name, "problems": one.problems, "score": one.score, "before": one.before,
              **one.change._asdict()} for one in decision.panel]
    return dict(gain=gain.gain, gain_low=gain.low, gain_high=gain.high, p=gain.p, panel=canonical(panel),
                promoted=decision.promoted, reason=decision.reason, kind=decision.kind)


def _nothing(loop: Loop, number: int, best: Row) -> Row:
    """The row of a round in which no student was trained."""
    return dict(id=content_id("round", loop.id, number, "nothing"), run_id=loop.id, name=loop.recipe.name, round=number,
                place=0, student="(none)", path=best["path"], promoted=False, kind="no student",
                reason="no student was trained: every dataset was empty, or its student was left out", created=now())


def _why_stopped(kinds: Sequence[str]) -> str:
    first = next(kind for kind in ("regression", "diversity", "no gain", "no student") if kind in kinds)
    return {"regression": "no student passed the gate, and one got worse",
            "diversity": "no student passed the gate, and the right answers have become alike",
            "no gain": "no student was significantly better than the best so far",
            "no student": "no student was trained"}[first]


def _costs(held: Sequence[Run]) -> dict[str, Row]:
    """By run; a reward model's goes to the run that it scores for, which has the same traces."""
    found = {run.id: _cost(run) for run in held}
    if len(held) > 1 and all(only_scores(spec) for spec in held[0].recipe.students):
        first, main = found.pop(held[0].id), found[held[1].id]
        data = {**json.loads(main["data"]), "auroc": json.loads(first["data"])["auroc"]}
        main |= {"data": canonical(data), **{key: main[key] + first[key] for key in ("seconds", "trained_tokens")}}
    return found


def _cost(run: Run) -> Row:
    lake = run.lake
    found = lake.rows("SELECT tokens, usd FROM costs WHERE run_id = $1", [run.id])
    figures = _figures(run)
    seconds = lake.value("SELECT coalesce(sum(seconds), 0) FROM timings WHERE run_id = $1", [run.id])
    return dict(data=canonical(data(run)), tokens=found[0]["tokens"] if found else 0,
                usd=found[0]["usd"] if found else 0.0, seconds=seconds,
                trained_tokens=sum(int(one.get("trained_tokens", 0)) for one in figures))


def _figures(run: Run) -> list[Row]:
    """Of the trainings of a run."""
    return [json.loads(row["figures"]) for row in run.lake.rows("SELECT figures FROM students WHERE run_id = $1",
                                                                [run.id])]


def data(run: Run) -> Row:
    """What a run's teacher wrote: problems, traces, right ones, solved problems, distinct right texts, rows made; and
    the AUROC of its reward models on prompts that they held out.
    """
    row = run.lake.rows("""
        SELECT count(DISTINCT t.problem_id) AS problems, count(*) AS traces,
               count(*) FILTER (v.status = 'correct') AS correct,
               count(DISTINCT t.problem_id) FILTER (v.status = 'correct') AS solved,
               count(DISTINCT (t.problem_id, t.digest)) FILTER (v.status = 'correct') AS distinct
        FROM run_traces t JOIN problems p ON p.id = t.problem_id
        LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier WHERE t.run_id = $1""", [run.id])[0]
    rows = run.lake.rows("""SELECT name, rows FROM datasets WHERE run_id = $1
        QUALIFY row_number() OVER (PARTITION BY name ORDER BY created DESC) = 1 ORDER BY name""", [run.id])
    rewards = [one["held_out_auroc"] for one in _figures(run) if one.get("held_out_auroc") is not None]
    return {"run": run.recipe.name, **row, "rows": {one["name"]: one["rows"] for one in rows}, "auroc": rewards}
