"""Who may import whom: the table of DESIGN.md section 4 and its "never" list, read from the sources by `ast`."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("verifiers", "factory", "flows")
SOURCES = sorted(file for package in OURS for file in (ROOT / package).rglob("*.py"))

KINDS = ("sources", "teachers", "strategies", "measures", "selection", "emitters", "judges", "students")
NOUNS = {"factory.records", "factory.protocols"}
HELPERS = {"factory.child", "factory.columns", "factory.guard", "factory.metrics", "factory.models",
           "factory.sandboxes", "factory.solutions", "factory.steps", "factory.thoughts", "factory.thoughts_forms",
           "factory.thoughts_tags"}
"""What plugins of one or several kinds share: small, and free of the lake, the recipe and the stages."""

EXCEPTIONS = {
    ("factory.students.pretrain", "factory.sources.worlds"):
        "a program that makes the bundled teacher out of the worlds' own solutions, and no plugin",
    ("factory.measures.overthinking", "verifiers.answers"): "it asks whether a solution in the thinking is right",
    ("factory.measures.overthinking", "verifiers.math_equal"): "the same",
    ("factory.measures.overthinking", "verifiers.vocabulary"): "the same",
    ("factory.students.grpo", "verifiers.rewards"): "its reward is the verdict",
    ("factory.sources.benchmark", "verifiers.number_game"): "it knows which hands make 24",
    ("factory.sources.probes", "verifiers.number_game"): "the same",
    ("factory.sources.benchmark", "factory.plugins"): "it says the right name of a benchmark for a wrong one",
    ("factory.sources.probes", "factory.plugins"): "likewise, of a family",
    **{(module, f"verifiers.{wanted}"): "it runs programs, in the sandbox" for module, all_wanted in {
        "factory.measures.execution": ("code.behaviour", "code.formats", "code.public", "code.suites", "code_tests",
                                       "pool", "sandbox", "sandbox_pool", "verdict"),
        "factory.sources.output_prediction": ("python_literal", "sandbox", "sandbox_pool"),
        "factory.strategies.repair": ("code.public", "verdict"),
        "factory.strategies._again": ("pool", "verdict"),
        "factory.strategies.rationalise": ("verdict",),
        "factory.sandboxes": ("sandbox", "sandbox_pool"),
    }.items() for wanted in all_wanted},
}

HOMES = {
    "prefect": ("flows.",), "prefect_ray": ("flows.",), "prefect_dask": ("flows.",),
    "torch": ("factory.students.",), "transformers": ("factory.students.",), "trl": ("factory.students.",),
    "tokenizers": ("factory.students.", "factory.measures.token_length"), "accelerate": ("factory.students.",),
    "numba": ("factory.measures._compiled",),
    "duckdb": ("factory.lake",), "openai": ("factory.teachers._client",), "vllm": (),
    "sympy": ("verifiers.",), "math_verify": ("verifiers.",), "latex2sympy2_extended": ("verifiers.",),
}
"""Third party -> the modules (or the packages, with a dot at the end) that may import it."""


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(text: str, known: set[str]) -> Iterator[str]:
    """Every module that `text` imports, also inside functions; `from a import b` is a.b where that is a module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports here are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else str(node.module)


MODULES = {module_name(file) for file in SOURCES}
GRAPH = {module_name(file): set(imports(file.read_text(encoding="utf-8"), MODULES)) for file in SOURCES}
EDGES = sorted((module, wanted) for module, all_wanted in GRAPH.items() for wanted in all_wanted)


def package(module: str) -> str:
    return module.partition(".")[0]


def kind(module: str) -> str | None:
    """The plugin folder that a module lies in."""
    parts = module.split(".")
    return parts[1] if parts[0] == "factory" and len(parts) > 1 and parts[1] in KINDS else None


def may_plugin(module: str, wanted: str) -> bool:
    """A plugin knows the nouns, the verbs, the shared helpers and its own folder."""
    return wanted in NOUNS | HELPERS or kind(wanted) == kind(module)


def test_the_walk_sees_imports_inside_functions_and_submodules_of_packages() -> None:
    text = "def f():\n    import torch.nn\nfrom factory import lake\nfrom factory.lake import Lake"
    assert sorted(imports(text, {"factory.lake"})) == ["factory.lake", "factory.lake", "torch.nn"]


def test_the_verifiers_import_nothing_of_ours() -> None:
    assert [(m, w) for m, w in EDGES if package(m) == "verifiers" and package(w) in ("factory", "flows")] == []


def test_nothing_imports_flows_except_flows() -> None:
    assert [(m, w) for m, w in EDGES if package(w) == "flows" and package(m) != "flows"] == []


def test_a_plugin_imports_the_nouns_the_helpers_and_its_own_folder_only() -> None:
    ours = [(m, w) for m, w in EDGES if kind(m) and package(w) in OURS]
    assert [edge for edge in ours if not may_plugin(*edge) and edge not in EXCEPTIONS] == []


def test_every_exception_is_still_needed() -> None:
    assert [edge for edge in EXCEPTIONS if edge not in EDGES] == []


@pytest.mark.parametrize("module", sorted(NOUNS | HELPERS | {"factory.journal"}))
def test_the_nouns_and_the_helpers_know_no_lake_recipe_stage_or_plugin(module: str) -> None:
    known = {w for w in GRAPH[module] if package(w) in OURS and (module, w) not in EXCEPTIONS}
    assert known <= NOUNS | (HELPERS if module in HELPERS else set())


def test_the_factory_imports_no_plugin_by_an_import_statement() -> None:
    """The stages get them by name, so that a plugin that is not asked for is not loaded."""
    assert [(m, w) for m, w in EDGES if package(m) != "flows" and not kind(m) and kind(w)] == []


def test_lake_plugins_and_recipe_know_no_stage() -> None:
    core = [m for m in MODULES if m.startswith("factory.") and m.count(".") == 1]
    assert [(m, w) for m in core for w in GRAPH[m] if w.startswith("factory.stages")] == []


@pytest.mark.parametrize("party", HOMES)
def test_a_third_party_is_imported_where_it_lives(party: str) -> None:
    at_home = tuple(HOMES[party])
    strangers = [m for m, w in EDGES if package(w) == party and not f"{m}.".startswith(tuple(
        home if home.endswith(".") else f"{home}." for home in at_home))]
    assert strangers == []


INSIDE = {"verifiers.cell.child", "verifiers.code.inside_program", "verifiers.code.inside_tests"}
"""What runs programs, and runs in a sandbox only."""


def test_no_model_text_can_reach_eval() -> None:
    calls = [node for file in SOURCES if module_name(file) not in INSIDE
             for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
             if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                 "eval", "exec", "parse_expr", "sympy.parse_expr", "sympify", "sympy.sympify", "pickle.loads")]
    assert [ast.unparse(call) for call in calls] == []


def test_help_imports_nothing_heavy() -> None:
    code = ("import sys; from flows.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
            "print(*sys.modules, file=sys.stderr)")
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    heavy = {"duckdb", "pyarrow", "torch", "prefect", "datasets", "pandas", "numpy", "sympy", "pydantic", "openai",
             "matplotlib", "asyncio", "numba"}
    assert heavy & set(loaded) == set()


def test_the_stages_and_the_reports_run_without_prefect() -> None:
    code = ("import sys, flows.pipeline, flows.report, flows.check, flows.query, flows.verify_file, flows.export\n"
            "print(*sys.modules)")
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"prefect", "torch", "transformers", "vllm", "openai", "matplotlib", "numba"} & set(loaded) == set()
