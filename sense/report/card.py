"""The card of a published model, in Markdown: what it is, how it was measured, what made it, how to load it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sense.report import results, text


def render(name: str, sets: Mapping[str, Any], tags: Mapping[str, str]) -> str:
    """The card of the registered model `name`: `sets` as in evaluate's metrics, `tags` as its version carries them."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701  (Markdown; numbers and digests only, no model-written text)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": text.percent, "chance": text.chance}
    return made.get_template("card.md.j2").render(name=name, sets=results.results({"sets": sets}), tags=tags)
