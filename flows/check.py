"""What can be wrong with a recipe, found before anything starts: plugins, parameters, files, models, ports, SQL."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from factory import plugins, terms, truncation
from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import DatasetSpec, Generate, MeasureSpec, Plugin, Recipe
from factory.records import Candidate, Completion, Problem, Request, Trace
from factory.run import make_teacher
from factory.stages import (
    budget,
    choose,
    curves,
    decontaminate,
    emit,
    gate,
    on_policy,
    possible,
    recorded,
    rounds,
    samples,
    train,
)

RAW = "<think>One and one.</think>\\boxed{2}"
"""A made-up trace."""


def check(recipe: Recipe) -> list[str]:
    """Raises UserError for the first thing that is wrong; returns what was looked at, one line each."""
    if recipe.rounds and recipe.rounds.reward:  # its model is not there yet: any number stands for what it thinks
        stand_in = MeasureSpec(plugin="length", name="reward")
        recipe = recipe.model_copy(update={"measures": [*recipe.measures, stand_in]})
    return [*_sources(recipe), *decontaminate.check(recipe), *_teachers(recipe), *recorded.check(recipe),
            *_students(recipe), *_rounds(recipe), *_rules(recipe), *_parts(recipe), *_templates(recipe)]


def _sources(recipe: Recipe) -> list[str]:
    held_out = recipe.evaluate.problems if recipe.evaluate else []
    asked = [*recipe.problems, *recipe.on_policy.problems]
    return [_source(spec, recipe) for spec in asked] + [_source(spec) for spec in held_out]


def _source(spec: Plugin, recipe: Recipe | None = None) -> str:
    """`recipe`: whose licences count, where rows of the source are to become data."""
    try:
        first = next(iter(plugins.bind("source", spec.plugin, spec.params)()), None)
    except ValueError as error:
        raise UserError(f"the source '{spec.plugin}': {error}") from error
    if first is None:
        raise UserError(f"the source '{spec.plugin}' has no problem in it: look at its parameters {spec.params}")
    if isinstance(first, Problem):
        plugins.function("verifier", first.verifier)
        if recipe and (pattern := recipe.forbids(first.licence)):
            raise UserError(f"the source '{spec.plugin}' has the licence '{first.licence}', which falls under "
                            f"'{pattern}' of forbid_licences: its rows could never be exported, so take another "
                            "source, or set forbid_licences if you may")
        if recipe and recipe.datasets and not first.licence:
            print(f"note: the source '{spec.plugin}' states no licence, so the card of a dataset will not either and "
                  "`cot export` to the hub will refuse it: set `licence` on it in the recipe", file=sys.stderr)
        if recipe and recipe.datasets and terms.NON_COMMERCIAL.search(first.licence):
            print(f"note: the source '{spec.plugin}' has the licence '{first.licence}', for non-commercial use or "
                  "research only: a dataset of it can be exported and its card says so, but whether you may train on "
                  'it is for you to judge (forbid_licences = ["\\\\bnc\\\\b"] would stop the export)', file=sys.stderr)
    return f"source {spec.plugin}: its first row can be read"


def _teachers(recipe: Recipe) -> list[str]:
    teacher = make_teacher(recipe.teacher)
    teacher.check()
    truncation.check(teacher, recipe.generate)
    budget.check(recipe, teacher)
    _note_terms(recipe)
    for student in on_policy.asked(recipe):  # its model is not there yet: any stands for it
        model = Path(next(s.base for s in recipe.students if s.base not in [t.name for t in recipe.students]))
        make_teacher(on_policy.recipe_of(recipe, student, {student: model}).teacher).check()
    seen = [f"teacher {recipe.teacher.plugin}: it can be started"]
    if recipe.evaluate:
        bases = [s.base for s in recipe.students if s.base not in [t.name for t in recipe.students]]
        for base in [*bases, *recipe.evaluate.models]:
            asked = make_teacher(recipe.evaluate.teacher.with_params(model=base))
            try:
                asked.check()
            except UserError as error:
                raise UserError(f"evaluate.teacher cannot be started with the model '{base}': {error}") from error
            for kind, spec in _of_evaluation(recipe):
                if kind == "strategy":
                    truncation.check(asked, Generate(strategy=spec))  # type: ignore[call-arg]
        if not bases and not recipe.evaluate.models and not recipe.rounds:
            print("note: there is no model to evaluate: add [[students]], or evaluate.models", file=sys.stderr)
        seen.append(f"evaluation with {recipe.evaluate.teacher.plugin}: it can be started")
    return seen


def _note_terms(recipe: Recipe) -> None:
    """Say before a token is bought that an export will be refused; the traces may be wanted for something else."""
    keys = plugins.parameters("teacher", recipe.teacher.plugin)
    told = {**{key: found.default for key, found in keys.items()}, **recipe.teacher.params}
    host = urlsplit(str(told.get("base_url", ""))).hostname
    says = recipe.teacher_terms or terms.known({"model": told.get("model"), "host": host})
    if recipe.forbids(says):
        print(f"note: `cot export` will refuse what the teacher '{told.get('model') or recipe.teacher.plugin}' writes "
              f"({says}): set teacher_terms if yours allow it, or take another teacher", file=sys.stderr)


def _parts(recipe: Recipe) -> list[str]:
    """Every other plugin with its parameters."""
    specs = [("strategy", recipe.generate.strategy), *(("measure", m) for m in recipe.measures)]
    specs += [("selector", d.selector) for d in recipe.datasets] + [("emitter", d.emitter) for d in recipe.datasets]
    specs += _of_evaluation(recipe)
    specs += [("student", s.trainer) for s in recipe.students]
    for kind, spec in specs:  # a trainer brings torch, which takes seconds: whatever can fail sooner came before
        plugins.bind(kind, spec.plugin, spec.params)
    _try_out(recipe)
    return [f"{kind} {spec.plugin}: its parameters fit" for kind, spec in specs]


def _of_evaluation(recipe: Recipe) -> list[tuple[str, Plugin]]:
    if recipe.evaluate is None:
        return []
    score, points = samples.score_spec(recipe), recipe.evaluate.curves
    forced = [("strategy", curves.forced(points, budget)) for budget in points.budgets[:1]] if points else []
    return [("strategy", recipe.evaluate.strategy), *forced, *([("measure", score)] if score else [])]


def _try_out(recipe: Recipe) -> None:
    """What ships is used once on a made-up trace: a tokenizer that is not there, a measure that a selector lacks. A
    private plugin is not, for it may do more than answer."""
    completion = Completion("One and one.", "\\boxed{2}", RAW, "stop", 1, 9, 5, mean_logprob=-0.5, min_logprob=-1.0)
    trace = Trace(Request("", "{}", "{}", 0), completion)
    group = _made_up(recipe)
    measures = [*recipe.measures, *(spec for kind, spec in _of_evaluation(recipe) if kind == "measure")]
    tries = [("measure", spec, (Problem("1 + 1?", "2"), trace)) for spec in measures]
    for kind, spec, given in [*tries, *(("selector", dataset.selector, (group,)) for dataset in recipe.datasets)]:
        _try(kind, spec, *given)
    for dataset in recipe.datasets:
        _needs_two(recipe, dataset, group)
        _refuse_other_rows(recipe, dataset, [_try("emitter", dataset.emitter, pick)
                                             for pick in _try("selector", dataset.selector, group) or []])


def _refuse_other_rows(recipe: Recipe, dataset: DatasetSpec, made: Sequence[Any]) -> None:
    """A trainer that wants other columns would say so once all traces are bought."""
    module = plugins.module("emitter", dataset.emitter.plugin)
    columns = {key for row in made for one in (row if isinstance(row, list) else [row]) for key in one or ()}
    for name, given in (("step_columns", []), ("problem_columns", Problem("1 + 1?", "2"))):
        columns |= set(getattr(module, name)(given)) if columns and hasattr(module, name) else set()
    for student in recipe.students if columns else ():
        wanted = getattr(plugins.module("student", student.trainer.plugin), "ROWS", ())
        if student.dataset == dataset.name and (missing := sorted(set(wanted) - columns)):
            raise UserError(f"the student '{student.name}' is trained by '{student.trainer.plugin}' on rows with "
                            f"{', '.join(wanted)}, and the emitter '{dataset.emitter.plugin}' of the dataset "
                            f"'{dataset.name}' writes no '{missing[0]}': take another emitter or another trainer")


def _made_up(recipe: Recipe) -> list[Candidate]:
    """Three traces of a problem: two are right, one of them twice as long."""
    measured = {spec.column: 0.0 for spec in recipe.measures}
    made_up = [("correct", 2, 9), ("correct", 2, 18), ("wrong", 3, 9)]
    return [Candidate(f"a made-up {status} trace of {tokens} tokens", "", "1 + 1?", RAW.replace("2", str(said)),
                      "One and one.", f"\\boxed{{{said}}}", status, str(said), tokens, measured)
            for status, said, tokens in made_up]


def _try(kind: str, spec: Plugin, *given: Any) -> Any:
    try:
        return None if "." in spec.plugin else plugins.bind(kind, spec.plugin, spec.params)(*given)
    except (ValueError, UserError) as error:
        raise UserError(f"the {kind} '{spec.plugin}': {error}") from error


def _needs_two(recipe: Recipe, dataset: DatasetSpec, group: Sequence[Candidate]) -> None:
    """Of one trace a problem a selector of pairs chooses nothing, whatever the teacher writes."""
    samples = recipe.on_policy.samples if dataset.policy and recipe.on_policy.samples else recipe.generate.samples
    if samples > 1 or recipe.rounds or recipe.teacher.plugin == "recorded":
        return
    alone = [_try("selector", dataset.selector, [one]) for one in group]
    if _try("selector", dataset.selector, group) and not any(alone):
        raise UserError(f"the dataset '{dataset.name}' would be empty: its selector '{dataset.selector.plugin}' needs "
                        "two traces of a problem, and one sample is asked for: set generate.samples to 2 or more")


def _rules(recipe: Recipe) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        choose.check_rules(lake, recipe)
        possible.check(lake, recipe)
        _something_to_choose(recipe, possible.statuses(lake, recipe))
    return [f"rule {name}: valid SQL" for name in recipe.rules]


def _something_to_choose(recipe: Recipe, statuses: Sequence[str]) -> None:
    """That the verdicts which the rules let pass are such as the selectors can choose among."""
    group = _made_up(recipe)
    passing = [one for one in group if one.status in statuses]
    for dataset in recipe.datasets if len(passing) < len(group) else ():
        if _try("selector", dataset.selector, group) and not _try("selector", dataset.selector, passing):
            raise UserError(f"the dataset '{dataset.name}' would be empty: the rules let {' and '.join(statuses)} "
                            f"traces pass alone, and of those its selector '{dataset.selector.plugin}' chooses "
                            "nothing: change the rule over `status`, or the selector")


def _students(recipe: Recipe) -> list[str]:
    names = [s.name for s in recipe.students]
    for spec in recipe.students:
        if spec.base not in names and not (Path(spec.base) / "config.json").exists():
            raise UserError(f"the student '{spec.name}' starts from '{spec.base}', which is neither a model folder "
                            "here nor an earlier student"
                            + plugins.did_you_mean(spec.base, [name for name in names if name != spec.name]))
    return [f"student {name}: its base is there" for name in names]


def _rounds(recipe: Recipe) -> list[str]:
    """That rounds can follow from the recipe, and that the gate sees no test problem (of each set, the first one)."""
    if recipe.rounds is None:
        return []
    rounds.recipe_of(recipe, 1, base := rounds.base_of(recipe))
    make_teacher(rounds.recipe_of(recipe, 2, base).teacher)
    rounds.held_out_of(recipe)
    _scores(recipe, recipe.rounds.reward)
    for name, spec in {gate.DEV: recipe.rounds.dev, **{p.name: p.problems for p in recipe.rounds.panel}}.items():
        _source(spec)
        first = next(iter(plugins.bind("source", spec.plugin, spec.params)()))
        if isinstance(first, Problem) and first.split == rounds.TEST:
            raise rounds.refusal(name)
    if recipe.evaluate and recipe.evaluate.samples == 1:
        print("note: evaluate.samples is 1, so the gate cannot see right answers becoming alike: set it to 2 or more",
              file=sys.stderr)
    return [f"rounds: each follows from the recipe, and the gate decides on {recipe.rounds.dev.plugin}"]


def _scores(recipe: Recipe, reward: str) -> None:
    spec = next((student for student in recipe.students if student.name == reward), None)
    if spec and not train.only_scores(spec):
        raise UserError(f"rounds.reward is '{reward}', and its trainer '{spec.trainer.plugin}' makes no reward model: "
                        "name a student of the trainer `reward_model`")


def _templates(recipe: Recipe) -> list[str]:
    """Last, for a child process has to start: what the students' chat templates do to thinking."""
    return [f"dataset {spec.name}: {emit.check_template(recipe, spec)}" for spec in recipe.datasets]
