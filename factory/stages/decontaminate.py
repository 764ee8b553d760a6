"""Contamination: which problems and rows meet a text of a benchmark that the recipe names, with both texts.

A prompt is looked at for n words in a row, as a whole where it is short, and as a paraphrase; a trace, which may recite
a benchmark but is long and full of common phrases, for 13 words in a row at least.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from factory import plugins
from factory.code_paraphrase import CodeParaphrases, is_code
from factory.overlap import Hit, Overlap, shared
from factory.paraphrase import Paraphrases
from factory.protocols import BadRow, UserError
from factory.recipe import Against, Decontaminate, Recipe
from factory.records import content_id
from factory.run import Run

LONG = 13
"""Words in a row that a trace has to share (GPT-3's and s1's rule)."""
BATCH = 1000

PROBLEMS = """SELECT p.id, p.prompt FROM members m JOIN problems p ON p.id = m.problem_id
    WHERE m.run_id = $1 AND m.part = 'loaded' ORDER BY p.id"""
ROWS = """SELECT k.chosen AS id, p.prompt, c.raw, coalesce(r.raw, '') AS other FROM picks k
    JOIN problems p ON p.id = k.problem_id JOIN traces c ON c.id = k.chosen LEFT JOIN traces r ON r.id = k.rejected
    WHERE k.selection = $1 ORDER BY k.id"""

Find = Callable[[Sequence[str]], Iterator[Hit]]
SUFFIXES = {".jsonl": "jsonl", ".json": "jsonl", ".csv": "csv_file", ".tsv": "csv_file", ".parquet": "parquet"}


@dataclass(frozen=True)
class Benchmarks:
    """All texts of all benchmarks: `places[i]` says where `texts[i]` stands (name, row from 1)."""

    texts: list[str]
    places: list[tuple[str, int]]

    @property
    def digest(self) -> str:
        return content_id("benchmarks", self.texts, self.places)


def read(recipe: Recipe) -> Benchmarks:
    """The recipe's benchmarks. A row that cannot be read is named on stderr. Raises UserError for one that is empty,
    not there, or without the column."""
    texts: list[str] = []
    places: list[tuple[str, int]] = []
    for against in recipe.decontaminate.against:
        before = len(texts)
        for number, found in enumerate(_rows(against), 1):
            if isinstance(found, BadRow):
                print(f"decontaminate: {found}", file=sys.stderr)
            else:
                texts.append(found.prompt)
                places.append((against.name, number))
        if len(texts) == before:
            raise UserError(f"decontaminate.against: {against.name} holds no text in '{against.column}': name another")
    return Benchmarks(texts, places)


def check(recipe: Recipe) -> list[str]:
    """Look at the beginning of each benchmark; raises UserError as `read` does."""
    for against in recipe.decontaminate.against:
        if all(isinstance(row, BadRow) for row in islice(_rows(against), 100)):
            raise UserError(f"decontaminate.against: {against.name} holds no text in '{against.column}': name another")
    return [f"benchmark {against.name}: its column '{against.column}' can be read"
            for against in recipe.decontaminate.against]


def _rows(against: Against) -> Iterator[Any]:
    """The rows as a source reads them: a Problem whose prompt is the text, or a BadRow."""
    params: dict[str, Any] = {"columns": {"prompt": against.column}, "verifier": "majority"}
    kind = "hugging_face" if against.dataset else kind_of(against.path, "decontaminate.against")
    params |= {"path": against.path} if against.path else {
        "dataset": against.dataset, "hf_split": against.split} | (
        {"name": against.config} if against.config else {})
    if against.path.removesuffix(".gz").endswith(".tsv"):
        params["delimiter"] = "\t"
    try:
        yield from plugins.bind("source", kind, params)()
    except (UserError, ValueError) as error:
        said = str(error).replace(" for prompt: name the right one in `columns`", ": name the right one in `column`")
        raise UserError(f"decontaminate.against: {said}") from error


def kind_of(path: str, key: str) -> str:
    """The source that reads a file of that name; `key` is the recipe's, for the message."""
    name = path.removesuffix(".gz")
    found = next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), None)
    if found is None and "." in name.rpartition("/")[2]:
        raise UserError(f"{key}: {path} is of an unknown kind: use {', '.join(SUFFIXES)}, with or "
                        "without .gz, or a folder of Parquet files")
    return found or "parquet"


# -- looking ---------------------------------------------------------------------------------------------------------


def problems(run: Run, screening: str, benchmarks: Benchmarks) -> Iterator[dict[str, Any]]:
    """The rows of `contamination` for the loaded problems."""
    find = finder(benchmarks.texts, run.recipe.decontaminate)
    base = dict(screening=screening, run_id=run.id, kind="problem")
    return _found(run.lake.sql(PROBLEMS, [run.id]), [("prompt", find)], benchmarks, base)


def rows(run: Run, screening: str, benchmarks: Benchmarks, selection: str) -> Iterator[dict[str, Any]]:
    """The rows of `contamination` for the picks of a selection; an item is a chosen trace."""
    options = run.recipe.decontaminate
    long = Overlap(benchmarks.texts, max(LONG, options.words))
    base = dict(screening=screening, run_id=run.id, kind="row")
    return _found(run.lake.sql(ROWS, [selection]), [("prompt", finder(benchmarks.texts, options)), ("raw", long.hits),
                                                    ("other", long.hits)], benchmarks, base)


def finder(texts: Sequence[str], options: Decontaminate) -> Find:
    """What finds the best hit of each prompt: by its words, else as a paraphrase."""
    overlap = Overlap(texts, options.words)
    reworded = _reworded(texts, options.paraphrase) if options.paraphrase else None

    def find(prompts: Sequence[str]) -> Iterator[Hit]:
        found = {hit.text: hit for hit in overlap.hits(prompts)}
        others = [i for i in range(len(prompts)) if i not in found] if reworded else []
        for hit in reworded([prompts[i] for i in others]) if reworded else ():
            found[others[hit.text]] = hit._replace(text=others[hit.text])
        return (found[i] for i in sorted(found))
    return find


def _reworded(texts: Sequence[str], threshold: float) -> Find:
    """Code is compared with code by rules of its own, all else as prose."""
    prose, code = Paraphrases(texts), CodeParaphrases(texts)

    def find(prompts: Sequence[str]) -> Iterator[Hit]:
        pairs = zip(prompts, prose.best(prompts, threshold), code.best(prompts), strict=True)
        for prompt, told, coded in pairs:
            if coded.score >= threshold:
                yield coded
            elif told.score >= threshold and not (is_code(prompt) and is_code(texts[told.other])):
                yield told
    return find


def _found(cursor: Any, finders: Sequence[tuple[str, Find]], benchmarks: Benchmarks, base: dict[str, Any]
           ) -> Iterator[dict[str, Any]]:
    """A row for each item that has a hit, by the first finder that has one."""
    names = [column[0] for column in cursor.description]
    while batch := cursor.fetchmany(BATCH):
        columns = dict(zip(names, zip(*batch, strict=True), strict=True))
        found: dict[str, tuple[str, Hit]] = {}
        for column, find in finders:
            for hit in find(columns[column]):
                found.setdefault(columns["id"][hit.text], (columns[column][hit.text], hit))
        yield from (_row(base, item, text, hit, benchmarks) for item, (text, hit) in found.items())


def _row(base: dict[str, Any], item: str, text: str, hit: Hit, benchmarks: Benchmarks) -> dict[str, Any]:
    (name, number), other = benchmarks.places[hit.other], benchmarks.texts[hit.other]
    return dict(base, id=content_id("contamination", base["screening"], item), item=item, text=text, benchmark=name,
                number=number, benchmark_text=other, rule=hit.rule, score=hit.score,
                shared=" ".join(shared(text, other)), why=f"contaminated by {name} row {number}: {hit.rule}")
