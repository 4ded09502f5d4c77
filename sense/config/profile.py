"""Edits to params.yaml from the command line that keep its comments and order."""

import io
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sense import records
from sense.errors import ConfigError


def edited(path: Path, assignments: Sequence[tuple[list[str], str]]) -> str:
    """The text of `path` with each (key path, value as YAML) set; ConfigError names a key whose section is not there."""
    yaml = YAML()
    yaml.width = 130
    try:
        document = yaml.load(path.read_text(encoding="utf-8"))
    except (OSError, YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({error}); profiles to start from lie in configs/") from None
    for keys, value in assignments:
        section = document
        for key in keys[:-1]:
            if not isinstance(section, dict) or key not in section:
                raise ConfigError(f"{path}: no section {key!r} for {'.'.join(keys)}")
            section = section[key]
        section[keys[-1]] = YAML(typ="safe").load(value)
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()


def save(path: Path, text: str) -> None:
    """Writes `text` to `path` if it differs, so that an unchanged file keeps its time stamp."""
    if path.read_text(encoding="utf-8") != text:
        records.write_text(path, text)
