"""Imports point one way, heavy libraries have one importer each, and `sense --help` loads none of them."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORE = {"errors", "records", "config", "console", "verdicts"}
ENDS = {"stages", "cli", "components", "pipelines"}
ONLY = {
    "training": {"torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "safetensors"},
    "tracking": {"mlflow"},
}


def part(path):
    """The top part of sense/ that a file belongs to: sense/sql/parse.py -> sql."""
    return path.relative_to(ROOT / "sense").parts[0].removesuffix(".py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


FILES = sorted(path for path in (ROOT / "sense").rglob("*.py") if path.name != "__main__.py")


def inner(name):
    """`sense.sql.parse` -> `sql`; None for what is not ours."""
    pieces = name.split(".")
    return pieces[1] if pieces[0] == "sense" and len(pieces) > 1 else None


def test_core_imports_only_core():
    for path in FILES:
        if part(path) in CORE:
            assert {inner(name) for name in imports(path)} - {None} <= CORE, path


def test_only_what_runs_stages_imports_them_and_stages_never_one_another():
    for path in FILES:
        found = {name for name in imports(path) if inner(name) in ENDS}
        if part(path) == "stages":
            allowed = {"sense.stages"}
            assert not found - allowed, (path, found)
        elif part(path) not in {"cli", "launching", "pipeline"}:
            assert not found, (path, found)


def test_heavy_libraries_have_one_importer():
    for path in FILES:
        for owner, heavy in ONLY.items():
            if part(path) != owner:
                assert not {name.split(".")[0] for name in imports(path)} & heavy, path


def test_the_environment_is_read_in_config_alone():
    for path in FILES:
        if part(path) not in {"config", "tracking"}:
            assert "os.environ" not in path.read_text(), path
            assert "getenv" not in path.read_text(), path


def test_help_loads_nothing_heavy():
    heavy = {name for names in ONLY.values() for name in names} | {"sqlglot", "rich", "pydantic", "httpx", "numpy"}
    code = f"import sys, sense.cli; sense.cli.main([]); print(sorted({heavy!r} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
