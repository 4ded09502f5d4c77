"""The command `sense params`: every key of params.yaml and of the gateway's file, with its type, default and effect.

The text of each key is the one that stands under its field in sense/config.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sense.config.params import Params
from sense.config.section import Section
from sense.config.serving import ServeConfig
from sense.errors import UserError
from sense.suggestion import did_you_mean

# The name under which the keys of `sense serve --config FILE` are listed; in the file they stand at the top.
SERVE = "serve"
REQUIRED = "(required)"
_BOUNDS = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))


@dataclass(frozen=True)
class Key:
    """One key: its dotted name, its type with the values it allows, its default as YAML, and what it does."""

    name: str
    type: str
    default: str
    description: str


def add_arguments(parser: argparse.ArgumentParser, _name: str) -> None:
    """Adds the flags."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "examples:\n  sense params\n  sense params sft.train\n  sense params serve --markdown"
    parser.add_argument(
        "keys", nargs="*", metavar="KEY", help=f"sections or keys, e.g. dpo or sft.train; {SERVE}: the gateway's; default: all"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--markdown", action="store_true", help="as a Markdown table for each section")
    output.add_argument("--json", action="store_true", help="as JSON on stdout, nothing else")


def main(options: argparse.Namespace) -> int:
    """Prints the keys; UserError names one that does not exist. Returns the exit code."""
    keys = select(options.keys)
    if options.json:
        print(json.dumps([asdict(key) for key in keys]))
    elif options.markdown:
        print("\n".join(markdown(keys)))
    else:
        _print_table(keys)
    return 0


def all_keys() -> list[Key]:
    """The keys of params.yaml in the order of its sections, then those of the gateway's file under `serve`."""
    return [*section_keys(Params), *section_keys(ServeConfig, f"{SERVE}.")]


def select(names: Sequence[str]) -> list[Key]:
    """The keys called `names` and those below them; all keys for no names. UserError for a name that is none."""
    keys = all_keys()
    if not names:
        return keys
    for name in names:
        if not any(_is_at_or_below(key.name, name) for key in keys):
            raise UserError(f"{name}: no such key; {_what_there_is(name, keys)}")
    return [key for key in keys if any(_is_at_or_below(key.name, name) for name in names)]


def _what_there_is(name: str, keys: Sequence[Key]) -> str:
    """The keys of the innermost section in `name` that exists, or the sections, and which of them `name` may have meant."""
    parent = name
    while parent and not any(_is_at_or_below(key.name, parent) for key in keys):
        parent = parent.rpartition(".")[0]
    above = f"{parent}." if parent else ""
    names = list(dict.fromkeys(key.name.removeprefix(above).partition(".")[0] for key in keys if key.name.startswith(above)))
    if not names:
        return f"{parent}: {next(key.type for key in keys if key.name == parent)}"
    suggestion = did_you_mean(name, [above + one for one in names])
    return f"{f'the keys of {parent}' if parent else 'the sections'} are {', '.join(names)}{suggestion}"


def _is_at_or_below(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")


def section_keys(section: type[Section], prefix: str = "", default: Section | None = None) -> Iterator[Key]:
    """The keys of `section`, each inner section followed by its own keys under dotted names.

    `default` is the section's default value, whose fields may differ from the defaults of the class. Where several fields hold
    the same kind of section, the keys of the first are listed, and the others refer to it.
    """
    listed: dict[type[Section], str] = {}
    for name, field in section.model_fields.items():
        key = prefix + name
        value = field.get_default(call_default_factory=True) if default is None else getattr(default, name)
        inner = _inner_section(field.annotation)
        if inner is None:
            yield Key(key, _type(field.annotation, field.metadata), _default(value), _description(field))
        elif inner in listed:
            yield Key(key, f"section, keys as in {listed[inner]}", "", _description(field))
        else:
            listed[inner] = key
            yield Key(key, _type(field.annotation, field.metadata), _default(value), _description(field))
            below = f"{key}.NAME." if get_origin(field.annotation) is dict else f"{key}."
            yield from section_keys(inner, below, value if isinstance(value, inner) else None)


def _inner_section(annotation: Any) -> type[Section] | None:
    """The section that a field holds: alone, optionally, in a list or as the values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((inner for part in get_args(annotation) if (inner := _inner_section(part)) is not None), None)


def _type(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """The type in words, with the values or bounds that are allowed."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0], arguments[1:])
    if origin is Literal:
        name = " | ".join(str(value) for value in arguments)
    elif origin is dict:
        name = f"mapping of {_type(arguments[0])} to {_type(arguments[1])}"
    elif origin in (list, tuple):
        name = f"list of {_type(arguments[0])}"
    elif arguments:  # a union
        name = " | ".join(_type(argument) for argument in arguments)
    elif isinstance(annotation, type) and issubclass(annotation, Section):
        name = "section"
    else:
        name = {str: "string", int: "integer", float: "number", bool: "true | false", type(None): "null"}[annotation]
    constraints = [inner for item in metadata for inner in (item.metadata if isinstance(item, FieldInfo) else [item])]
    bounds = [f"{sign} {getattr(item, bound)}" for item in constraints for bound, sign in _BOUNDS if hasattr(item, bound)]
    return " ".join([name, *bounds])


def _default(value: Any) -> str:
    """A default as it would be written in YAML, on one line; empty for a section, whose keys have their own."""
    if value is PydanticUndefined:
        return REQUIRED
    if isinstance(value, Section):
        return ""
    if isinstance(value, str) and value:
        return value
    return json.dumps(value)


def _description(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def markdown(keys: Sequence[Key]) -> Iterator[str]:
    """A heading and a table for each section, line by line."""
    section = None
    for key in keys:
        first = key.name.partition(".")[0]
        if first != section:
            if section is not None:
                yield ""
            yield from (f"### {first}", "", "| key | type | default | meaning |", "|---|---|---|---|")
            section = first
        cells = (
            f"`{key.name}`",
            key.type,
            f"`{key.default}`" if key.default not in ("", REQUIRED) else key.default,
            key.description,
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _print_table(keys: Sequence[Key]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console() if sys.stdout.isatty() else Console(width=160)
    table = Table(box=SIMPLE_HEAD)
    for heading, ratio in (("key", None), ("type", 2), ("default", 2), ("meaning", 5)):
        table.add_column(heading, no_wrap=heading == "key", ratio=ratio, overflow="fold")
    for key in keys:
        table.add_row(key.name, key.type, key.default, key.description)
    console.print(table, markup=False, highlight=False)
