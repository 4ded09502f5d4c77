"""The command `sense profile`: sets keys of params.yaml in place, keeping its comments and order."""

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from sense import records
from sense.config import params
from sense.errors import ConfigError, UserError

_OWN, _BUILT_IN = Path("data/own"), Path("sense/seeds")
_UNWATCHED = ("cluster", "resources")  # sections that DVC does not see
_MAX_CHARS = 60  # of a value in a line about a change


def add_arguments(parser: argparse.ArgumentParser, _name: str) -> None:
    """Adds the flags."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "example:\n  sense profile --set data.seeds=../spider --set synthesize.count=500"
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="default: params.yaml")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. data.seeds=../spider; may be repeated"
    )


def main(options: argparse.Namespace) -> int:
    """Sets the keys; ConfigError, and the file as it was, for what would not validate. Returns the exit code."""
    path: Path = options.params
    assignments = [_assignment(item) for item in options.set]
    text = edit(path, assignments)
    before, after = (params.parse(one, str(path)) for one in (records.read_text(path), text))
    settings: params.Params = params.validate(params.Params, after, str(path))
    if any(keys in (["data"], ["data", "seeds"]) for keys, _ in assignments):
        _check_seeds(settings.data.seeds, path)
    save(path, text)
    changes = {".".join(keys): (_value(before, keys), _value(after, keys)) for keys, _ in assignments}
    for key, (old, new) in changes.items():
        print(f"{path}: {key}: {f'{old} -> {new}' if old != new else f'{new}, as before'}", file=sys.stderr)
    changed = [key for key, (old, new) in changes.items() if old != new]
    if path.name == "params.yaml" and any(key.partition(".")[0] not in _UNWATCHED for key in changed):
        print("run: dvc repro", file=sys.stderr)
    return 0


def _check_seeds(seeds: str, path: Path) -> None:
    """ConfigError unless there is a folder `seeds`: without it DVC deletes the seed and dev sets before it fails.

    params.yaml is used where it lies, a profile of another name where it is copied to: in the current folder. The folder of
    one's own databases may be written later.
    """
    base = path.parent if path.name == "params.yaml" else Path()
    if Path(seeds) not in (_OWN, _BUILT_IN) and not (base / seeds).is_dir():
        raise ConfigError(
            f"{seeds}: no such folder; data.seeds names a folder of questions in Spider's or BIRD's layout, {_OWN}, "
            f"or {_BUILT_IN}"
        )


def _value(document: Any, keys: Sequence[str]) -> str:
    """The value at `keys` on one short line, 'not set' where there is none."""
    for key in keys:
        if not isinstance(document, dict) or key not in document:
            return "not set"
        document = document[key]
    line = document if isinstance(document, str) and document else json.dumps(document, default=str)
    return line if len(line) <= _MAX_CHARS else line[: _MAX_CHARS - 3] + "..."


def _assignment(item: str) -> tuple[list[str], str]:
    key, equals, value = item.partition("=")
    if not (key and equals):
        raise UserError(f"--set {item}: write KEY=VALUE, for instance data.seeds=../spider")
    return key.split("."), value


def edit(path: Path, assignments: Sequence[tuple[list[str], str]]) -> str:
    """The text of `path` with each (key path, value as YAML) set; sections that are missing are added, known or not.

    ConfigError names a key in something that is no section.
    """
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 130, True
    try:
        text = records.read_text(path)
        params.parse(text, str(path))  # of what is no YAML its message names the line
        document = yaml.load(text)
    except (OSError, YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({error}); profiles to start from lie in configs/") from None
    for keys, value in assignments:
        section = document
        for depth, key in enumerate(keys):
            if not isinstance(section, dict):
                raise ConfigError(f"{path}: {'.'.join(keys[:depth]) or 'the file'} holds no keys, so none can be set in it")
            if depth < len(keys) - 1:
                if section.get(key) is None:
                    section[key] = {}
                section = section[key]
        new = params.parse(value, f"--set {'.'.join(keys)}={value}")
        if not (isinstance(new, str) and section.get(keys[-1]) == new):  # a text that stays is not put in quotes
            section[keys[-1]] = _with_quotes(new)
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def _with_quotes(value: Any) -> Any:
    """`value` with every text in quotes: without them `on` and 1:30 would be read as something else."""
    if isinstance(value, dict):
        return {key: _with_quotes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_quotes(item) for item in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) else value


def save(path: Path, text: str) -> None:
    """Writes `text` to `path` if it differs, so that an unchanged file keeps its time stamp."""
    if records.read_text(path) != text:
        records.write_text(path, text)
