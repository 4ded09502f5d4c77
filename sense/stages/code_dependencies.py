"""The code that each stage of dvc.yaml depends on, derived from the imports of its module.

`python -m sense.stages.code_dependencies` (`make deps`) writes them into dvc.yaml, so that DVC runs a stage again when code that
its result rests on has changed; a test fails while the file says something else. Imports inside functions count, those for type
checkers alone do not. Where a stage uses all of a package, its folder is listed; where it uses a part, the files are, and of the
data files beside them (prompts, word lists, folders of data) those that a used module names, or that no module names.
"""

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from sense import __version__, records

PACKAGE = Path(__file__).parents[1]
# Modules whose changes are not followed, because they change no result of a stage.
EXEMPT = {
    "sense": "holds the version number",
    "sense.config": "the values it reads are dependencies themselves, under params; a default that changes is not seen",
    "sense.console": "shows progress",
    "sense.cost": "measures what stages cost, which is in no result",
    "sense.errors": "holds the classes of errors",
    "sense.registry": "registers what is already there: a version is found again by the digest of its content",
    "sense.stages": "its __init__ runs stages and moves their outputs; what they compute is in their own modules",
    "sense.tracking": "copies metrics to MLflow",
}


def code_dependencies(stage: str) -> list[str]:
    """Files and folders of the package that the stage's result rests on, relative to the working copy, sorted."""
    modules = _reachable(f"sense.stages.{stage}")
    files = {_file(module) for module in modules}
    folders = {file.parent for file in files} - {PACKAGE}
    whole = {folder for folder in folders if _has_all_modules(folder, files)}
    paths = {folder for folder in whole if not whole & set(folder.parents)}
    for path in files | {data for folder in folders for data in _data_files(folder, files)}:
        if not whole & set(path.parents):
            paths.add(path)
    return sorted(path.relative_to(PACKAGE.parent).as_posix() for path in paths)


def revision(stage: str) -> str:
    """The version of SENSE with a digest of the code that the stage's result rests on: `0.1.0+4f1c09ab27d3`. It needs no git."""
    total = hashlib.sha256()
    for path in code_dependencies(stage):
        total.update(f"{path}\0{records.digest(PACKAGE.parent / path)}\n".encode())
    return f"{__version__}+{total.hexdigest()[:12]}"


def _has_all_modules(folder: Path, files: set[Path]) -> bool:
    """Whether every module of the folder and of those below it is among `files`. Stages are never taken as a whole."""
    return folder != PACKAGE / "stages" and set(folder.rglob("*.py")) <= files


def _data_files(folder: Path, files: set[Path]) -> Iterator[Path]:
    """The data files and folders in a folder that one of its modules among `files` names, or that none of its modules names."""
    sources = {module: module.read_text(encoding="utf-8") for module in folder.glob("*.py")}
    for path in folder.iterdir():
        if path.suffix not in (".py", ".pyc") and not any(path.rglob("*.py*")):
            naming = {module for module, source in sources.items() if path.name in source}
            if not naming or naming & files:
                yield path


def _reachable(start: str) -> set[str]:
    """The modules that are imported by `start`, directly or not, and `start` itself; without those that are exempt."""
    modules: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        if module in modules or _is_exempt(module):
            continue
        modules.add(module)
        waiting += _imports(module)
        if "." in module:
            waiting.append(module.rpartition(".")[0])  # a package's __init__ runs before its modules
    return modules


def _is_exempt(module: str) -> bool:
    """`sense` and `sense.stages` are exempt themselves, the others with all their modules."""
    if module in EXEMPT:
        return True
    return any(module.startswith(f"{name}.") for name in EXEMPT if name not in ("sense", "sense.stages"))


def _file(module: str) -> Path:
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imports(module: str) -> Iterator[str]:
    """The modules of the package that a module imports, at its top or inside a function, other than for type checking."""
    for name, attribute in _import_statements(_file(module).read_text(encoding="utf-8")):
        inner = f"{name}.{attribute}"
        yield inner if attribute and _file(inner).is_file() else name


@cache  # a process that runs many stages reads the same source again and again
def _import_statements(source: str) -> Sequence[tuple[str, str]]:
    """What a source imports of the package: (module, name in it), the name empty where the module is imported as a whole."""
    imports: list[tuple[str, str]] = []
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        waiting += (child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))
        if isinstance(node, ast.Import):
            imports += [(alias.name, "") for alias in node.names if alias.name.split(".")[0] == "sense"]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "sense":
            imports += [(node.module, alias.name) for alias in node.names]
    return imports


def stage_of(entry: Mapping[str, Any]) -> str:
    """The stage that an entry of dvc.yaml runs: the word after `sense` in its command."""
    return str(entry["cmd"].split()[1])


def write(file: Path) -> None:
    """Writes the code dependencies of all stages into a dvc.yaml; its comments, and the dependencies on data, stay."""
    yaml = YAML()
    yaml.width = 130
    yaml.indent(mapping=2, sequence=4, offset=2)
    with file.open(encoding="utf-8") as stream:
        document = yaml.load(stream)
    for entry in document["stages"].values():
        data = [path for path in entry["deps"] if not path.startswith("sense/")]
        entry["deps"] = CommentedSeq([*data, *code_dependencies(stage_of(entry))])
    with records.atomic(file) as stream:
        yaml.dump(document, stream)


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "dvc.yaml"))
