"""The command `sense profile`: sets keys of params.yaml in place, keeping its comments and order."""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from sense import records
from sense.config import params
from sense.errors import ConfigError, UserError


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
    text = edit(options.params, [_assignment(item) for item in options.set])
    params.validate(params.Params, params.parse(text, str(options.params)), str(options.params))
    save(options.params, text)
    return 0


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
        document = yaml.load(records.read_text(path))
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
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()


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
