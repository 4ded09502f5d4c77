"""The inputs of a pipeline run: what may be changed from run to run, on the Kubeflow page too, without compiling anew.

Each is one key of params.yaml, and its default is the value of the profile that was compiled.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from sense import config
from sense.errors import UserError


@dataclass(frozen=True)
class RunInput:
    """An input by its name in Kubeflow, the key of params.yaml that it is, the type of its values, and what it does."""

    name: str
    key: str
    kind: type
    description: str


_BASE = "Base model: a hub name or a folder; in place of the profile's, its revision and its GGUF file. Empty leaves it."
_SEED = "Random seed of this stage."
INPUTS = (
    RunInput("synthesize_seed", "synthesize.seed", int, _SEED),
    RunInput("synthesize_count", "synthesize.count", int, "Strong examples that are wanted, all splits together."),
    RunInput("teacher_model", "synthesize.llm.model", str, "The LLM that writes strong data, where the profile asks one."),
    RunInput("sft_base", "sft.model.name", str, _BASE),
    RunInput("sft_seed", "sft.seed", int, _SEED),
    RunInput("sft_learning_rate", "sft.train.learning_rate", float, "Peak learning rate of the student."),
    RunInput("weak_base", "weak.model.name", str, _BASE),
    RunInput("weak_seed", "weak.seed", int, _SEED),
    RunInput("weak_learning_rate", "weak.train.learning_rate", float, "Peak learning rate of the weak model."),
    RunInput("sample_seed", "sample.seed", int, _SEED),
    RunInput("sample_k", "sample.k", int, "SQL queries that the weak model writes for each question."),
    RunInput("sample_temperature", "sample.temperature", float, "Temperature of these."),
    RunInput("dpo_seed", "dpo.seed", int, _SEED),
    RunInput("dpo_learning_rate", "dpo.train.learning_rate", float, "Peak learning rate of the second step."),
    RunInput("dpo_beta", "dpo.beta", float, "Strength of DPO's reference model."),
    RunInput("promote", "publish.promote", bool, "Whether the model may become champion; false registers it alone."),
)
_BY_NAME = {row.name: row for row in INPUTS}
# What the stages are given of params.yaml: the outputs of the pipeline's first task.
SECTIONS = ("ingest", "synthesize", "sft", "weak", "sample", "prefer", "dpo", "evaluate", "publish", "report")


def defaults(params: config.Params) -> dict[str, Any]:
    """The values of the profile by the inputs' names; an empty text where it has none."""
    return {row.name: _default(params, row) for row in INPUTS}


def describe(params: config.Params) -> list[dict[str, str]]:
    """A row for each input: its name, the key that it is, its type and its default, for people."""
    own = defaults(params)
    return [
        {
            "input": row.name,
            "key": row.key,
            "type": row.kind.__name__,
            "default": json.dumps(own[row.name]),
            "effect": row.description,
        }
        for row in INPUTS
    ]


def parse(assignments: Sequence[str]) -> dict[str, Any]:
    """The values of `NAME=VALUE` texts, each of its input's type; UserError for a name or value that is none."""
    values = {}
    for text in assignments:
        name, separator, value = text.partition("=")
        if not separator:
            raise UserError(f"--input {text}: write NAME=VALUE")
        if name not in _BY_NAME:
            raise UserError(f"--input {text}: no input is called {name}; there are: {', '.join(_BY_NAME)}")
        values[name] = _typed(_BY_NAME[name], value)
    return values


def changes(params: config.Params, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values by the inputs' names that differ from the profile's."""
    own = defaults(params)
    return {name: value for name, value in values.items() if value not in ("", own[name])}


def merge(text: str, values: Mapping[str, Any]) -> str:
    """The content of params.yaml with the values that differ from its own, and no other key changed or filled in.

    The result is not validated yet. UserError for an input that this profile has no place for, ConfigError if `text` is wrong.
    """
    raw = config.parse(text, "params.yaml")
    params: config.Params = config.validate(config.Params, raw, "params.yaml")
    changed = changes(params, values)
    merged = json.loads(json.dumps(raw))  # what was an alias in YAML is a section of its own now
    for name, value in changed.items():
        path = _BY_NAME[name].key.split(".")
        if name == "teacher_model" and not defaults(params)[name]:
            raise UserError(
                f"{name} = {value}: this profile asks no LLM, or several; set synthesize.teacher and llm in the profile"
            )
        if path[-2] == "model":  # of another base neither the revision holds, nor the file, nor the sizes of a nano
            merged[path[0]]["model"] = {"name": value}
        else:
            _set(merged, path, value)
    return yaml.safe_dump(merged, sort_keys=False, allow_unicode=True) if changed else text


def check(text: str, values: Mapping[str, Any]) -> None:
    """ConfigError names each key of params.yaml that these inputs make wrong, with its value and what is allowed."""
    inputs = ", ".join(f"{name} = {json.dumps(value)}" for name, value in values.items())
    config.validate(config.Params, config.parse(merge(text, values), "params.yaml"), f"params.yaml with {inputs}")


def sections(params: config.Params) -> dict[str, dict[str, Any]]:
    """The sections of the stages, as KFP passes them on: it has no null."""
    return {name: getattr(params, name).model_dump(mode="json", exclude_none=True) for name in SECTIONS}


def _default(params: config.Params, row: RunInput) -> Any:
    value: Any = params
    for part in row.key.split("."):
        value = getattr(value, part, None)
    if row.name == "teacher_model" and (params.synthesize.teacher != "llm" or params.synthesize.teachers):
        value = None
    return "" if value is None else row.kind(value)


def _set(section: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        section = section.setdefault(part, {})
    section[path[-1]] = value


def _typed(row: RunInput, text: str) -> Any:
    if row.kind is bool:
        if text.lower() not in ("true", "false"):
            raise UserError(f"--input {row.name}={text}: give true or false")
        return text.lower() == "true"
    try:
        return row.kind(text)
    except ValueError:
        noun = "a whole number" if row.kind is int else "a number"
        raise UserError(f"--input {row.name}={text}: give {noun} ({row.key})") from None
