"""The card of a published model, in Markdown: what it is, how it was measured, what made it, its limits, how to load it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sense import templates
from sense.records import flatten
from sense.registry.comparison import HardnessScore
from sense.report import costs, results, text

_LONGEST = 120  # characters of a value that somebody wrote, in a configuration or a file's name


@dataclass(frozen=True)
class CardFacts:
    """What the card of the registered model `name` tells.

    `sets` are those of evaluate's metrics, `levels` the scores by set, `recipe` is nested, `data` maps names to digests.
    `code` is the revision of the code, `context` the length of the context window in tokens, `cost` what the stages
    have cost, as far as that is recorded.
    """

    name: str
    sets: Mapping[str, Any]
    levels: Mapping[str, Sequence[HardnessScore]]
    recipe: Mapping[str, Any]
    data: Mapping[str, str]
    code: str
    context: int | None
    cost: costs.RunCost | None = None


def render(facts: CardFacts) -> str:
    """The card."""
    # Markdown, so nothing is escaped as HTML; what people wrote goes through `code`.
    environment = templates.environment(Path(__file__).parent, autoescape=False)
    environment.filters |= {"percent": text.percent, "p_value": text.p_value, "code": code}
    variables = {
        "name": facts.name,
        "sets": results.set_results({"sets": facts.sets}),
        "levels": {results.set_title(name): rows for name, rows in facts.levels.items()},
        "second_step": results.second_step(facts.recipe.get("dpo", {}).get("method", "dpo")),
        "recipe": {key: value for key, value in flatten(facts.recipe).items() if value is not None},
        "data": facts.data,
        "code": facts.code,
        "context": facts.context,
        "cost": None if facts.cost is None else costs.markdown(facts.cost).rstrip(),
    }
    return environment.get_template("card.md.j2").render(variables)


def code(value: Any) -> str:
    """A value as inline code that cannot end the code, the cell or the line it stands in, nor go on for ever."""
    line = " ".join(text.printable(str(value)).split()).replace("`", "'").replace("|", "¦")
    return f"`{line if len(line) <= _LONGEST else line[:_LONGEST] + '…'}`" if line else "–"
