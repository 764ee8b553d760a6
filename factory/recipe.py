"""A recipe: one TOML file that says what to make. Validated, unknown keys refused, errors in one sentence."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from factory.plugins import allow_private, did_you_mean
from factory.protocols import UserError
from factory.records import content_id
from factory.terms import AGAINST

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""What may be part of a file's name."""

MADE = re.compile(r'"[^"]*/(students/[^/"]+/[^/"]+-[0-9a-f]{8}/model)"')
"""The folder of a student made here, in JSON: its end says which it is."""
MOST_SAMPLES = 1_000_000
"""Of a problem; what is beyond is a slip of the keyboard."""

class Plugin(BaseModel):
    """A plugin by name with its parameters: `"shortest"`, or `{plugin = "shortest", per_problem = 2}`."""

    model_config = ConfigDict(frozen=True)
    plugin: str
    params: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"plugin": value}
        if isinstance(value, dict) and set(value) != {"plugin", "params"}:
            params = {k: v for k, v in value.items() if k != "plugin"}
            return {"params": params, **({"plugin": value["plugin"]} if "plugin" in value else {})}
        return value

    @field_validator("params")
    @classmethod
    def _is_json(cls, params: dict[str, Any]) -> dict[str, Any]:
        """They are part of ids, and TOML can hold what JSON cannot."""
        for key, value in params.items():
            try:
                content_id(value)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{key} = {value} is a date, a time, inf or nan: write a finite number, or a text"
                                 ) from error
        return params

    def with_params(self, **more: Any) -> "Plugin":
        """The same plugin with further parameters."""
        return Plugin(plugin=self.plugin, params={**self.params, **more})


class MeasureSpec(Plugin):
    """A measure; `name` is the column that rules and selectors know it by (the plugin's name, where none is given)."""

    name: str = Field("", pattern=r"^([A-Za-z_]\w*)?$")

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"plugin": value}
        if isinstance(value, dict) and set(value) != {"plugin", "params", "name"}:
            fields = {k: value[k] for k in ("plugin", "name") if k in value}
            return {"params": {k: v for k, v in value.items() if k not in fields}, **fields}
        return value

    @property
    def column(self) -> str:
        return self.name or self.plugin.rpartition(".")[2]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Truncation(Strict):
    """What becomes of a trace that its limit of tokens cut off: `"keep"` it (its finish_reason says so), `"drop"` it
    from datasets, `"continue"` it token by token, or `"force_close"` its thinking with the text `close` and let it
    answer.
    `max_tokens` more tokens at most (by default as many as the teacher's sampling allows).
    """

    policy: Literal["keep", "continue", "force_close", "drop"] = "keep"
    max_tokens: int | None = Field(None, ge=1)
    close: str = Field("\n</think>\n\n", min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        return {"policy": value} if isinstance(value, str) else value

    @property
    def asks_again(self) -> bool:
        return self.policy in ("continue", "force_close")


class Adaptive(Strict):
    """Sample until `correct` distinct right traces are there, `generate.samples` at most, and give up on a problem
    whose pass rate, after `least` judged samples, lies with `certainty` outside of `low` to `high`
    (`factory.stages.plan`). Of every problem the first `always` samples are asked in any case.
    """

    always: int = Field(0, ge=0)
    correct: int = Field(4, ge=1)
    least: int = Field(4, ge=1)
    low: float = Field(0.1, ge=0, lt=1)
    high: float = Field(0.9, gt=0, le=1)
    certainty: float = Field(0.8, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"generate.adaptive has low = {self.low:g} and high = {self.high:g}: low has to be the "
                             "smaller one")
        return self


class Generate(Strict):
    """How a problem is asked: the strategy, how many samples, and when to give up."""

    strategy: Plugin = Plugin(plugin="sample")
    samples: int = Field(4, ge=1, le=MOST_SAMPLES)
    adaptive: Adaptive | None = None
    truncation: Truncation = Truncation()  # type: ignore[call-arg]
    attempts: int = Field(8, ge=1)
    abort_after: int = Field(50, ge=1)


class Verify(Strict):
    """Limits of one verification: seconds, megabytes; `workers` processes."""

    timeout: float = Field(10.0, gt=0)
    memory_mb: int = Field(4096, ge=256)
    workers: int = Field(2, ge=1)
    beside: bool = True


class Budget(Strict):
    """Where generation stops asking: tokens that the teacher wrote, US dollars and GPU hours of the whole run, seconds
    of one start. What is in flight is finished, and the same command with a larger budget goes on.
    """

    max_tokens: int | None = Field(None, ge=1)
    max_usd: float | None = Field(None, gt=0)
    max_gpu_hours: float | None = Field(None, gt=0)
    max_seconds: float | None = Field(None, gt=0)


class PriceSpec(Strict):
    """The teacher's price in US dollars: per million tokens, or per hour of one of its `gpus`; what is set here comes
    before `factory/prices.toml`.
    """

    input: float | None = Field(None, ge=0)
    cached_input: float | None = Field(None, ge=0)
    output: float | None = Field(None, ge=0)
    gpu_hour: float | None = Field(None, ge=0)
    gpus: int | None = Field(None, ge=0)


class Audit(Strict):
    """Planted answers as a share of each verified batch (0: none), and the rates of faults that stop a run."""

    share: float = Field(0.02, ge=0, le=1)
    max_false_accept: float = Field(0.02, ge=0, le=1)
    max_false_reject: float = Field(0.1, ge=0, le=1)


class Mixture(Strict):
    """What of a selector's picks is used, over all problems: `by` is SQL like a rule, its values name the `shares`.

    Without shares the `rows` are spread evenly. `prefer`: "long" takes rank n by length with weight 2^-n, as s1 did;
    "diverse" goes from problem to the most unlike problem, by their embeddings.
    """

    by: str = ""
    shares: dict[str, float] = {}
    rows: int | None = Field(None, ge=1)
    per_problem: int | None = Field(None, ge=1)
    prefer: Literal["any", "long", "diverse"] = "any"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.shares and not self.by:
            raise ValueError('a mixture with shares needs `by`, what they are shares of: write by = "source"')
        if self.shares and (min(self.shares.values()) <= 0 or abs(sum(self.shares.values()) - 1) > 1e-3):
            raise ValueError(f"the shares of a mixture have to be above 0 and sum to 1; these sum to "
                             f"{sum(self.shares.values()):g}")
        if not (self.shares or self.rows or self.per_problem):
            raise ValueError("a mixture needs `shares`, `rows` or `per_problem`: set one, or leave the mixture out")
        return self


class Embed(Strict):
    """An endpoint of embeddings (`base_url`/embeddings, the key in the variable `key_env`), and the texts it is asked
    about: the first `characters` of each correct trace or of each problem, `batch` in a request.
    """

    model: str
    base_url: str = Field(pattern="^https?://")
    key_env: str = ""
    of: list[Literal["trace", "problem"]] = Field(["trace"], min_length=1)
    characters: int = Field(8000, ge=1)
    batch: int = Field(32, ge=1)
    concurrency: int = Field(4, ge=1)


class DatasetSpec(Strict):
    """A dataset to be: which traces (selector), in which form (emitter).

    `policy` is the student whose traces they are (see `OnPolicy`); by default they are the teacher's. `template` is
    whose chat template each row has to survive: a model folder or a template file; by default that of the base of the
    student that trains on it, and "none" checks nothing. `test_share` is the share of prompts whose rows go to the
    split `test`.
    """

    name: str = Field(pattern=NAME)
    selector: Plugin
    emitter: Plugin
    policy: str = ""
    template: str = ""
    mixture: Mixture | None = None
    test_share: float = Field(0.0, ge=0, lt=1)


class Dedup(Strict):
    """Which duplicates are dropped: problems before they are asked, rows before they are written. Near duplicates have
    a Jaccard of `threshold` or more over sets of `words` words in a row (`factory.minhash`).
    """

    problems: bool = False
    rows: bool = False
    threshold: float = Field(0.8, gt=0.5, le=1)
    words: int = Field(5, ge=1, le=50)


class Against(Strict):
    """A benchmark: a file (`path`) or a dataset of the Hub (`dataset`, `config`, `split`), and its column of texts."""

    path: str = ""
    dataset: str = ""
    config: str | None = None
    split: str = "test"
    column: str

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if bool(self.path) == bool(self.dataset):
            raise ValueError("each benchmark in decontaminate.against needs either a `path` or a `dataset`")
        return self

    @property
    def name(self) -> str:
        return self.path or self.dataset


class Decontaminate(Strict):
    """Problems and rows that meet a benchmark are dropped: `words` words in a row, or a score as a paraphrase of
    `paraphrase` or more (0: not looked for; `factory.paraphrase`).
    """

    against: list[Against] = []
    words: int = Field(8, ge=2, le=50)
    paraphrase: float = Field(0.55, ge=0, le=1)


class StudentSpec(Strict):
    """A training: `base` is a model folder or the name of an earlier student of this recipe."""

    name: str = Field(pattern=NAME)
    base: str
    dataset: str
    trainer: Plugin


class Curves(Strict):
    """Accuracy against test-time compute: `budgets` of thinking tokens, each held by `budget_forcing` (with `forcing`
    as its further parameters), and `k` samples to choose from. `samples` answers for each point, by default the largest
    k; `sampling` replaces keys of the sampling that `[evaluate.teacher]` has, such as its temperature.
    """

    budgets: list[int] = []
    k: list[int] = []
    samples: int | None = Field(None, ge=1, le=MOST_SAMPLES)
    sampling: dict[str, Any] = {}
    forcing: dict[str, Any] = {}

    @model_validator(mode="after")
    def _points(self) -> Self:
        if not self.budgets and not self.k:
            raise ValueError("evaluate.curves has no point: set budgets (of thinking tokens), k (samples), or both")
        if min([*self.budgets, *self.k]) < 1:
            raise ValueError("evaluate.curves has a budget or a k below 1: use 1 or more")
        if max(self.k, default=1) > self.each:
            raise ValueError(f"evaluate.curves has k = {max(self.k)} and samples = {self.samples}: k of fewer samples "
                             "is not possible, so ask for more")
        return self

    @property
    def each(self) -> int:
        return self.samples or max(self.k, default=1)


class OnPolicy(Strict):
    """How a student is asked for traces of its own, for the datasets whose `policy` it is: `samples` of each of the
    `problems`, by the plugin `teacher`, whose `model` is filled in. By default as the recipe's teacher is asked.
    """

    teacher: Plugin | None = None
    strategy: Plugin | None = None
    problems: list[Plugin] = []
    samples: int | None = Field(None, ge=1, le=MOST_SAMPLES)


class Evaluate(Strict):
    """Held-out problems, asked of each student and of its base through a teacher plugin whose `model` is filled in.

    `models` are further model folders to compare. `k`: what pass@k, consensus@k and the like are told for (by default
    the powers of two up to `samples`); `score` is a measure, or the column of one, by which the best of k is chosen.
    `at_once` models have their servers up together: quicker where they fit side by side, as tiny ones do.
    """

    problems: list[Plugin] = Field(min_length=1)
    teacher: Plugin
    samples: int = Field(1, ge=1, le=MOST_SAMPLES)
    k: list[int] = []
    score: MeasureSpec | None = None
    models: list[str] = []
    curves: Curves | None = None
    at_once: int = Field(1, ge=1)
    strategy: Plugin = Plugin(plugin="sample")

    @model_validator(mode="before")
    @classmethod
    def _one_source(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if "problems" in values and not isinstance(values["problems"], list):
            values = {**values, "problems": [values["problems"]]}
        if key := next((key for key in ("accuracy", "metric", "metrics") if key in values), ""):
            raise ValueError(f"evaluate.{key} cannot be set: accuracy is always the share of answers that the model "
                             "wrote and the verifier accepts, never a log-probability of the reference; name a measure "
                             "as `score` if the best of k answers is to be chosen by it")
        return values

    @model_validator(mode="after")
    def _written_by_the_model(self) -> Self:
        """A probability that is read off a given text (teacher forcing) says nothing of what would be written."""
        sampling = dict(self.teacher.params.get("sampling") or {}) | dict(self.curves.sampling if self.curves else {})
        asked = {**sampling, **(sampling.get("extra_body") or {})}
        forced = [key for key in ("prompt_logprobs", "echo") if asked.get(key) is not None and asked[key] is not False]
        if forced:
            raise ValueError(f"evaluate.teacher asks for {forced[0]}, the probability of a text that is given "
                             "(teacher-forced), which is no accuracy: remove it, so that answers are generated")
        if self.teacher.plugin == "recorded":
            raise ValueError("evaluate.teacher cannot be 'recorded': accuracy is of answers that the model itself "
                             "writes here; load the file as a run of its own, whose pass rates `cot status` shows")
        return self

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if wrong := [k for k in self.k if not 1 <= k <= self.samples]:
            raise ValueError(f"evaluate.k has {wrong[0]} and evaluate.samples is {self.samples}: use a k from 1 to the "
                             "number of samples, or ask for more samples")
        return self


class Spending(Strict):
    """What all rounds together may take: tokens that models wrote, US dollars, seconds of work."""

    max_tokens: int | None = Field(None, ge=1)
    max_usd: float | None = Field(None, gt=0)
    max_seconds: float | None = Field(None, gt=0)


class Panel(Strict):
    """A set of problems on which the gate lets no model get worse: another domain, easy problems, a format that its
    verifier checks, questions whose right answer is that nobody knows.
    """

    name: str = Field(pattern=NAME)
    problems: Plugin


class Rounds(Strict):
    """The recipe again and again, each time with the best student so far as the teacher (`cot rounds run`).

    A student becomes the best one when it is significantly better on `dev` and on no set of the `panel` significantly
    worse, and when of the diversity of its right answers the share `diversity` is left. Students `start` from the
    recipe's bases each time, or from the best student. `vary` is a parameter of the sources (a seed) that grows by one
    a round. `rationalise` shows the teacher the reference of what it got wrong, as STaR does; `explore` asks problems
    that nothing solved so many times, as STILL-2 does. `reward` is a student that gives scores, a reward model: it is
    trained before the round's other students, and their datasets have what it thinks of each trace as the measure
    `reward`.
    """

    count: int = Field(3, ge=1)
    dev: Plugin
    panel: list[Panel] = []
    start: Literal["base", "best"] = "best"
    vary: str = ""
    rationalise: bool = False
    explore: int | None = Field(None, ge=1, le=MOST_SAMPLES)
    reward: str = ""
    diversity: float = Field(0.5, ge=0, le=1)
    budget: Spending = Spending()  # type: ignore[call-arg]

    @model_validator(mode="after")
    def _sets_have_names_of_their_own(self) -> Self:
        names = ["dev", "test", "format", "judged", *(one.name for one in self.panel)]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise ValueError(f"rounds.panel has a set '{twice}', and that name is taken: give it another")
        return self


class Tasks(Strict):
    """How the flow runs the shards of the CPU stages: rows a shard, Prefect's task runner, retries."""

    shard: int = Field(2000, ge=1)
    runner: str = Field("threads", pattern="^(threads|processes|ray|dask)$")
    retries: int = Field(1, ge=0)


class Recipe(Strict):
    """The whole recipe. `rules` are named lines of SQL over one trace's columns and measures; `forbid_licences` are
    names of `terms.AGAINST`, or regular expressions (any case), of licences and terms whose rows must not leave by `cot
    export`; `teacher_terms` are those of what the teacher writes ("": what `factory.terms` knows); `round` is the
    number that its traces are noted under, set by `cot rounds run`."""

    name: str = Field(pattern=NAME)
    problems: list[Plugin] = Field(min_length=1)
    teacher: Plugin
    generate: Generate = Generate()  # type: ignore[call-arg]
    budget: Budget = Budget()  # type: ignore[call-arg]
    price: PriceSpec = PriceSpec()  # type: ignore[call-arg]
    verify: Verify = Verify()  # type: ignore[call-arg]
    audit: Audit = Audit()  # type: ignore[call-arg]
    measures: list[MeasureSpec] = []
    rules: dict[str, str] = {}
    dedup: Dedup = Dedup()  # type: ignore[call-arg]
    decontaminate: Decontaminate = Decontaminate()  # type: ignore[call-arg]
    embed: Embed | None = None
    datasets: list[DatasetSpec] = []
    forbid_licences: list[str] = list(AGAINST)
    teacher_terms: str = ""
    students: list[StudentSpec] = []
    on_policy: OnPolicy = OnPolicy()  # type: ignore[call-arg]
    evaluate: Evaluate | None = None
    rounds: Rounds | None = None
    round: int = Field(0, ge=0)
    tasks: Tasks = Tasks()  # type: ignore[call-arg]

    @field_validator("forbid_licences")
    @classmethod
    def _compiles(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"forbid_licences holds {pattern!r}, which is no regular expression ({error}): write "
                                 "a dot or a bracket as \\\\. or \\\\[") from error
        return patterns

    @model_validator(mode="after")
    def _embedded(self) -> Self:
        asked = self.embed.of if self.embed else []
        for spec in self.datasets:
            by_problem = spec.mixture is not None and spec.mixture.prefer == "diverse"
            for wanted, kind in ((spec.selector.params.get("by") == "embedding", "trace"), (by_problem, "problem")):
                if wanted and kind not in asked:
                    raise ValueError(f"the dataset '{spec.name}' goes by embeddings of each {kind}: add [embed] with "
                                     f'model, base_url and of = ["{kind}"]')
        return self

    @model_validator(mode="after")
    def _names(self) -> Self:
        earlier: list[str] = []
        datasets = [d.name for d in self.datasets]
        for student in self.students:
            if student.dataset not in datasets:
                raise ValueError(f"the student '{student.name}' asks for the dataset '{student.dataset}'"
                                 f"{did_you_mean(student.dataset, datasets)}")
            if student.name in earlier:
                raise ValueError(f"two students are called '{student.name}': rename one")
            earlier.append(student.name)
        if len(set(datasets)) != len(datasets):
            raise ValueError("two datasets have the same name: rename one")
        return self

    @model_validator(mode="after")
    def _policies(self) -> Self:
        """A student is asked when it is trained, so what is trained on its traces comes later."""
        place = {"": -1, **{student.name: i for i, student in enumerate(self.students)}}
        policy = {d.name: d.policy for d in self.datasets}
        for dataset, asked in policy.items():
            if asked not in place:
                raise ValueError(f"the dataset '{dataset}' is to be made of what the student '{asked}' writes"
                                 f"{did_you_mean(asked, list(place)[1:])}")
        of = {student.name: policy[student.dataset] for student in self.students}
        for name, asked in of.items():
            base = next(s.base for s in self.students if s.name == name)
            if place[asked] >= place[name]:
                raise ValueError(f"the student '{name}' trains on what '{asked}' writes: put '{asked}' before it")
            if place[of.get(base, "")] > place[asked]:
                raise ValueError(f"the student '{name}' starts from '{base}', which is trained after it, on what "
                                 f"'{of[base]}' writes: let it start from another")
        return self

    @model_validator(mode="after")
    def _rewarded(self) -> Self:
        names = [student.name for student in self.students]
        if self.rounds and self.rounds.reward and self.rounds.reward not in names:
            raise ValueError(f"rounds.reward is '{self.rounds.reward}'{did_you_mean(self.rounds.reward, names)}")
        return self

    @property
    def id(self) -> str:
        """Hash of the recipe's content, but for how the work is spread and audited, what it may cost, and where the
        lake lies that a student was made in."""
        left_out: Any = {"tasks": True, "audit": True, "budget": True, "price": True, "verify": {"beside": True},
                         "rounds": True}
        text = json.dumps(self.model_dump(mode="json", exclude=left_out), ensure_ascii=False)
        return content_id("recipe", json.loads(MADE.sub(r'"\1"', text)))

    def forbids(self, licence: str) -> str | None:
        """What of `forbid_licences` a licence, or a teacher's terms, fall under."""
        return next((p for p in self.forbid_licences if re.search(AGAINST.get(p, p), licence, re.IGNORECASE)), None)

    def json_text(self) -> str:
        return self.model_dump_json()


def load(path: Path, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe with `--set key=value` settings applied, and let private plugins beside it be imported.

    Raises UserError in one sentence.
    """
    allow_private(str(path.resolve().parent))
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        beside = sorted(p.name for p in path.parent.glob("*.toml") if p.name != "pyproject.toml")
        hint = did_you_mean(path.name, beside) if beside else ": name a recipe file, as flows/recipes/demo.toml is one"
        raise UserError(f"there is no recipe {path}{hint}") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder: name a recipe file in it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}") from error
    for setting in settings:
        _set(values, setting)
    return validate(values, str(path))


def validate(values: Mapping[str, Any], where: str) -> Recipe:
    """A recipe from plain values."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {_sentence(error)}") from error


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key '{path}'{did_you_mean(str(first['loc'][-1]), _siblings(first['loc']))}"
    if first["type"] == "missing":
        return f"the key '{path}' is missing"
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    return f"{path} = {first['input']!r}: {first['msg'][0].lower() + first['msg'][1:]}"


def _siblings(location: Sequence[str | int]) -> list[str]:
    """The keys that are allowed where an unknown one stood."""
    model: Any = Recipe
    for part in location[:-1]:
        if isinstance(part, str) and hasattr(model, "model_fields"):
            model = next((a for a in _models(model.model_fields[part].annotation)), model)
    return sorted(model.model_fields)


def _models(annotation: Any) -> list[Any]:
    found = [annotation, *getattr(annotation, "__args__", ())]
    return [a for a in found if isinstance(a, type) and issubclass(a, BaseModel)]


def _set(values: dict[str, Any], setting: str) -> None:
    """Apply one `key.sub.0.key=value`; the value is read as TOML, else taken as text."""
    key, equals, text = setting.partition("=")
    if not equals:
        raise UserError(f"--set {setting}: write it as key=value, for example --set generate.samples=2")
    here: Any = values
    parts = key.strip().split(".")
    try:
        for part in parts[:-1]:
            here = here[int(part)] if isinstance(here, list) else here.setdefault(part, {})
        here[int(parts[-1]) if isinstance(here, list) else parts[-1]] = _value(text)
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise UserError(f"--set {setting}: there is no '{key}' in the recipe to set") from error


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text
