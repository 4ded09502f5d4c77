"""Packages form layers without circles, heavy libraries have one importer each, and `sense --help` loads none of them."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What each part of sense/ may import of the others. The order is the architecture's: a part imports only parts above it.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "verdicts": set(),
    "console": set(),
    "garbage": set(),
    "suggestion": set(),
    "templates": set(),
    "mlflow_settings": set(),
    "processes": {"errors"},
    "records": {"errors", "verdicts"},
    "config": {"errors", "records", "suggestion"},
    "endpoint": {"config", "errors"},
    "object_store": {"config", "errors"},
    "checkpoint_store": {"config", "console", "errors", "object_store", "records"},
    "cost": {"config", "errors", "records"},
    "sql": {"config", "errors", "records", "verdicts"},
    "database_servers": {"config", "errors", "sql", "verdicts"},
    "manifest": {"errors", "records", "sql"},
    "schema": {"errors", "sql"},
    "suite": {"errors", "records", "sql"},
    "prompts": {"config", "records", "schema", "sql", "templates"},
    "ingest": {"config", "errors", "records", "sql"},
    "decontamination": {"console", "errors", "ingest", "manifest", "records", "schema", "sql"},
    "teacher": {
        *("config", "cost", "decontamination", "endpoint", "errors", "processes", "prompts", "records", "schema", "sql", "suite"),
    },
    "own": {"config", "console", "database_servers", "errors", "ingest", "manifest", "records", "schema", "sql", "teacher"},
    "stand_in": {"config", "console", "errors", "records", "sql", "teacher"},
    "training": {"checkpoint_store", "config", "console", "cost", "endpoint", "errors", "processes", "records", "schema", "sql"},
    "robustness": {"config", "console", "errors", "manifest", "records", "schema", "sql", "training"},
    "evaluation": {"config", "console", "errors", "ingest", "records", "sql"},
    "tracking": {"config", "cost", "errors", "mlflow_settings", "records"},
    "report": {"cost", "errors", "records", "sql", "templates", "verdicts"},
    "data_versions": {"config", "console", "errors", "manifest", "object_store", "records", "report", "sql", "tracking"},
    "registry": {
        *("config", "console", "errors", "evaluation", "mlflow_settings", "prompts", "records", "report", "templates"),
        *("tracking", "training", "verdicts"),
    },
    "stages": {
        *(
            "checkpoint_store",
            "config",
            "console",
            "cost",
            "decontamination",
            "errors",
            "evaluation",
            "garbage",
            "ingest",
            "manifest",
            "prompts",
            "records",
            "registry",
            "report",
        ),
        *("schema", "sql", "suite", "teacher", "tracking", "training", "verdicts"),
    },
    "serving": {
        *("config", "console", "database_servers", "errors", "prompts", "records", "registry", "schema", "sql", "training"),
        "verdicts",
    },
    "ablation": {"config", "console", "errors", "evaluation", "records", "stages", "tracking"},
    "kubeflow": {
        *("checkpoint_store", "config", "console", "cost", "data_versions", "endpoint", "errors", "garbage", "records", "report"),
        *("stages", "tracking", "training"),
    },
    "cli": {"errors", "garbage", "suggestion"},  # and the module of a subcommand, by its name, when it is used
}
TRAINING = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "safetensors")
# The only parts that import a heavy library.
IMPORTERS = {name: {"training"} for name in (*TRAINING, "vllm")}
IMPORTERS |= {
    "datasketch": {"decontamination"},
    "mlflow": {"tracking", "registry"},
    "kfp": {"kubeflow"},
    "kubernetes": {"kubeflow"},
}
# What a process that executes hostile SQL imports: the standard library and these, or its start takes too long.
WORKER = "sense.sql.worker"
TOO_SLOW_FOR_A_WORKER = {"sqlglot", "pydantic", "rich", "numpy", "httpx"}


def part(path: Path) -> str:
    """The part of sense/ that a file belongs to: sense/sql/parse.py -> sql."""
    return path.relative_to(ROOT / "sense").parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_parts(path: Path) -> set[str]:
    """The other parts of sense/ that a file imports."""
    names = (name.split(".") for name in imports(path))
    return {pieces[1] for pieces in names if pieces[0] == "sense" and len(pieces) > 1} - {part(path), "__version__"}


FILES = sorted(path for path in (ROOT / "sense").rglob("*.py") if path.parent != ROOT / "sense" or not path.name.startswith("_"))


def test_there_are_no_circles_between_packages():
    """`ARROWS` lists a part only after all that it may import: no circle can be written down."""
    earlier: set[str] = set()
    for name, allowed in ARROWS.items():
        assert allowed <= earlier, f"{name}: {allowed - earlier} would point back"
        earlier.add(name)


@pytest.mark.parametrize("name", sorted({part(path) for path in FILES}))
def test_arrows_point_one_way(name):
    for path in FILES:
        if part(path) == name:
            assert imported_parts(path) <= ARROWS[name], path


def test_stages_never_import_one_another():
    shared = {"__init__", "code_dependencies", "command", "execution_reward", "holdout", "launch", "long_prompts"}
    shared |= {"near_misses", "pairs", "perturbed_sets", "predictions", "rejection_sampling", "sft_rows", "shards"}
    stages = {path.stem for path in (ROOT / "sense/stages").glob("*.py")} - shared
    for path in (ROOT / "sense/stages").glob("*.py"):
        assert not {name.removeprefix("sense.stages.") for name in imports(path)} & stages, path


def test_heavy_libraries_have_one_importer():
    for path in FILES:
        for name in {name.split(".")[0] for name in imports(path)} & set(IMPORTERS):
            assert part(path) in IMPORTERS[name], path


def test_the_environment_is_read_in_config_alone():
    for path in FILES:
        if part(path) not in {"config", "mlflow_settings"}:
            text = path.read_text(encoding="utf-8")
            assert "os.environ" not in text, path
            assert "getenv" not in text, path


def loaded(code: str) -> set[str]:
    """The top-level modules that are loaded once `code` has run in a new process."""
    code = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(process.stdout.splitlines()[-1].split())


def test_help_loads_nothing_heavy():
    heavy = set(IMPORTERS) | {"sqlglot", "rich", "pydantic", "httpx", "numpy"}
    assert not loaded("import sense.cli; sense.cli.main([])") & heavy


@pytest.mark.parametrize(
    "code", ["from sense import cli\nwith suppress(SystemExit): cli.main(['models', '--help'])", "import sense.registry.command"]
)
def test_sense_models_loads_mlflow_only_when_it_needs_it(code):
    assert not loaded(f"from contextlib import suppress\n{code}") & (set(IMPORTERS) | {"sqlglot", "pydantic", "httpx", "numpy"})


def test_a_worker_starts_without_what_is_slow_to_import():
    assert not loaded(f"import {WORKER}") & (TOO_SLOW_FOR_A_WORKER | set(IMPORTERS))


def test_every_package_has_an_init_that_says_what_it_is():
    """A folder without one is left out of what is installed."""
    for folder in {path.parent for root in ("sense", "components", "pipelines") for path in (ROOT / root).rglob("*.py")}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))), folder


@pytest.mark.parametrize("module", ["sense.registry.versions", "sense.tracking"])
def test_mlflow_reads_its_settings_when_it_is_imported(module):
    """Whichever package imports mlflow first: its telemetry is off and its log level is set before that."""
    code = f"""
import importlib, os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "mlflow":
            print(os.environ.get("MLFLOW_DISABLE_TELEMETRY"), os.environ.get("MLFLOW_LOGGING_LEVEL"))
sys.meta_path.insert(0, Finder())
importlib.import_module({module!r})
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    assert process.stdout.splitlines() == ["true WARNING"]
