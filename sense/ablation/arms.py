"""The arms of an ablation: params.yaml with some keys changed, and whether preference learning follows SFT."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sense import config
from sense.config import params
from sense.errors import UserError

SEEDED = ("sft", "weak", "sample", "prefer", "dpo")
"""The sections whose `seed` an ablation sets; the data and the questions stay the same for every seed."""


@dataclass(frozen=True)
class Arm:
    """A variant of the recipe: `changes` maps keys of params.yaml, as `sft.data`, to other values.

    `preferences` tells whether the model is the one after preference learning; else it is the one after SFT. With
    `single_database` samples are judged on the main database alone, without its test suite.
    """

    name: str
    effect: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    preferences: bool = True
    single_database: bool = False


ARMS = (
    Arm("human", "SFT on human-written seeds", {"sft.data": "seed"}, preferences=False),
    Arm("strong", "SFT on strong data and seeds", {"sft.data": "strong+seed"}, preferences=False),
    Arm("weak", "and preferences from the weak model", {"sft.data": "strong+seed", "sample.model": "weak"}),
    Arm("on-policy", "and preferences from the student itself", {"sft.data": "strong+seed", "sample.model": "sft"}),
    Arm(
        "single-database",
        "the same, labels from one database each",
        {"sft.data": "strong+seed", "sample.model": "sft"},
        single_database=True,
    ),
)
"""The arms of the paper's table (section 4.4: human only, + strong, + weak), and of what the weak data are made of."""


def named(names: Sequence[str]) -> list[Arm]:
    """The built-in arms of these names, in this order; UserError names one that does not exist."""
    arms = {arm.name: arm for arm in ARMS}
    unknown = [name for name in names if name not in arms]
    if unknown:
        raise UserError(f"--arms {unknown[0]}: no such arm; there are: {', '.join(arms)}")
    return [arms[name] for name in dict.fromkeys(names)]


def custom(words: Sequence[str]) -> Arm:
    """An arm from a name and KEY=VALUE words, values in YAML; UserError if one is written otherwise."""
    name, *assignments = words
    if not name.replace("-", "").replace(".", "").replace("_", "").isalnum() or not assignments:
        raise UserError(f"--with {' '.join(words)}: write a name and then KEY=VALUE, for instance --with beta-0.3 dpo.beta=0.3")
    changes = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not (key and equals):
            raise UserError(f"--with {name} {assignment}: write KEY=VALUE, for instance dpo.beta=0.3")
        changes[key] = params.parse(value, f"--with {name} {assignment}")
    return Arm(name, ", ".join(assignments), changes)


def settings(base: config.Params, arm: Arm, seed: int) -> config.Params:
    """The parameters of an arm with `seed` in the sections of `SEEDED`; ConfigError names a key that cannot be set."""
    value = base.model_dump()
    for key, new in arm.changes.items():
        _set(value, key.split("."), new, arm.name)
    for section in SEEDED:
        value[section]["seed"] = seed
    changed: config.Params = params.validate(config.Params, value, f"params.yaml with the changes of the arm {arm.name}")
    return changed


def _set(value: dict[str, Any], path: Sequence[str], new: Any, arm: str) -> None:
    section = value
    for name in path[:-1]:
        inner = section.get(name)
        if inner is None and name in section:
            inner = section[name] = {}
        if not isinstance(inner, dict):
            raise UserError(f"the arm {arm} sets {'.'.join(path)}, but there is no section {name!r}; see `sense params`")
        section = inner
    section[path[-1]] = new
