"""The card of a published model, in Markdown: what it is, how it was measured, what made it, its limits, how to load it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sense.records import flatten
from sense.registry.evidence import Level
from sense.report import results, text

_LONGEST = 120  # characters of a value that somebody wrote, in a configuration or a file's name


@dataclass(frozen=True)
class Facts:
    """What the card of the registered model `name` tells.

    `sets` as in evaluate's metrics, `levels` by set, `recipe` (nested) as far as it is known, `data`: name -> digest, `context`
    in tokens.
    """

    name: str
    sets: Mapping[str, Any]
    levels: Mapping[str, Sequence[Level]]
    recipe: Mapping[str, Any]
    data: Mapping[str, str]
    code: str
    context: int | None


def render(facts: Facts) -> str:
    """The card."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701  (Markdown; what people wrote goes through `code`)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": text.percent, "chance": text.chance, "code": code}
    found = results.results({"sets": facts.sets})
    named = {results.SET_NAMES.get(name, name): rows for name, rows in facts.levels.items()}
    told = {
        "name": facts.name,
        "sets": found,
        "levels": named,
        "recipe": {key: value for key, value in flatten(facts.recipe).items() if value is not None},
        "data": facts.data,
        "code": facts.code,
        "context": facts.context,
    }
    return made.get_template("card.md.j2").render(told)


def code(value: Any) -> str:
    """A value as inline code that cannot end the code, the cell or the line it stands in, nor go on for ever."""
    line = " ".join(text.shown(str(value)).split()).replace("`", "'").replace("|", "¦")
    return f"`{line if len(line) <= _LONGEST else line[:_LONGEST] + '…'}`" if line else "–"
