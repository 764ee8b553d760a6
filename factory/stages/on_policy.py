"""students -> traces of their own: each student that is the `policy` of a dataset answers problems as a teacher does.

It is a run like any other, of a recipe that follows from the first one: the student is its teacher, the datasets made
of the student's traces are its datasets, and the students that train on them are its students. So nothing is bought
twice, and a run that was killed goes on there.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from factory.recipe import Generate, OnPolicy, Recipe
from factory.run import Run, make_teacher
from factory.stages.owed import Job
from factory.stages.train import trained


def runs(run: Run) -> Iterator[Run]:
    """The run of each student that is asked for traces and is trained by then: train one's students before the next."""
    made = trained(run)
    for student in asked(run.recipe):
        if student in made:
            yield (own := Run(recipe_of(run.recipe, student, made), run.lake))
            made |= trained(own)


def asked(recipe: Recipe) -> list[str]:
    """The students that some dataset is made by, in the order of their training."""
    policies = {spec.policy for spec in recipe.datasets}
    return [student.name for student in recipe.students if student.name in policies]


def recipe_of(recipe: Recipe, student: str, made: Mapping[str, Path]) -> Recipe:
    """What is made of the traces of `student`; `made`: the folders of the students that are there."""
    options = recipe.on_policy
    datasets = [spec.model_copy(update={"policy": ""}) for spec in recipe.datasets if spec.policy == student]
    names = {spec.name for spec in datasets}
    students = [spec.model_copy(update={"base": str(made.get(spec.base, spec.base))}) for spec in recipe.students
                if spec.dataset in names]
    asked_so = {"samples": options.samples or recipe.generate.samples,
                "strategy": options.strategy or recipe.generate.strategy}
    return recipe.model_copy(update={
        "name": f"{recipe.name}-{student}", "problems": options.problems or recipe.problems,
        "teacher": (options.teacher or recipe.teacher).with_params(model=str(made[student])),
        "generate": recipe.generate.model_copy(update=asked_so), "datasets": datasets,
        "students": students, "on_policy": OnPolicy()})  # type: ignore[call-arg]


def evaluation(run: Run) -> dict[str, Job]:
    """The held-out problems for a teacher that is itself to be evaluated, by the name of the stage: they can be asked
    while its server is up.
    """
    options, model = run.recipe.evaluate, run.recipe.teacher.params.get("model")
    if options is None or model not in [spec.base for spec in run.recipe.students]:
        return {}
    asked = Generate.model_validate({"strategy": options.strategy, "samples": options.samples})
    job = Job(run, "evaluate", make_teacher(options.teacher.with_params(model=model)), asked)
    return {"evaluate the teacher": job} if shares_server(run, job) else {}


def shares_server(run: Run, job: Job) -> bool:
    """Whether the run's teacher can answer the job's problems with the server that it starts."""
    engine = getattr(make_teacher(run.recipe.teacher), "engine", None)
    return engine is not None and engine == getattr(job.teacher, "engine", None)


def students(run: Run) -> dict[str, Path]:
    """The newest model folder of each student of the recipe that was trained, in the recipe's order."""
    found = trained(run)
    for own in runs(run):
        found |= trained(own)
    return {spec.name: found[spec.name] for spec in run.recipe.students if spec.name in found}
