"""The whole of params.yaml: how it is read, and how all its errors are reported at once."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from sense import records
from sense.config.cluster import TRAININGS, ClusterConfig, ResourcesConfig
from sense.config.data import DataConfig, IngestConfig, PreferConfig, SampleConfig, SynthesizeConfig
from sense.config.evaluation import SETS, EvaluateConfig, PublishConfig, ReportConfig
from sense.config.section import Section
from sense.config.training import DpoConfig, SftConfig
from sense.errors import ConfigError
from sense.suggestion import did_you_mean

_WHOLE, _NUMBER, _BOOLEAN = "must be a whole number", "must be a number", "must be true or false"
_LIST, _MAPPING = "must be a list", "must be a mapping of keys to values"
# pydantic's texts are for programmers; those that are not named here differ by their first words alone
_PLAIN_TEXTS = {
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "bool_parsing": _BOOLEAN,
    "bool_type": _BOOLEAN,
    "string_type": "must be text; a number, true or false becomes text in quotes",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
}


class Params(Section):
    """The whole of params.yaml: a section for each stage, and two for the cluster, which change no result."""

    data: DataConfig = DataConfig()
    """Where human-written seeds come from, and databases of your own."""
    ingest: IngestConfig
    """Reads the seeds."""
    synthesize: SynthesizeConfig
    """Makes strong data."""
    sft: SftConfig
    """Trains the student."""
    weak: SftConfig
    """Trains the weak model; the same stage as `sft`."""
    sample: SampleConfig
    """Makes weak data."""
    prefer: PreferConfig
    """Makes preference pairs."""
    dpo: DpoConfig
    """Trains the SENSE model from the SFT model."""
    evaluate: EvaluateConfig
    """Measures base, SFT and SENSE."""
    publish: PublishConfig
    """Registers the model."""
    report: ReportConfig = ReportConfig()
    """Writes the HTML report."""
    cluster: ClusterConfig = ClusterConfig()
    """What all tasks of the Kubeflow pipeline share."""
    resources: ResourcesConfig = ResourcesConfig()
    """What each task of the Kubeflow pipeline asks for."""

    @model_validator(mode="after")
    def _own_revisions_fit(self) -> "Params":
        own, revisions = len(self.synthesize.own), len(self.cluster.own)
        if revisions not in (0, own):
            text = f"cluster.own has {revisions} revisions, but synthesize.own names {own} folders; give one for each, or none"
            raise PydanticCustomError("hidden", "{text}", {"text": text})
        return self

    @model_validator(mode="after")
    def _nodes_share_a_claim(self) -> "Params":
        several = {task: self.resources.of(task).nodes for task in TRAININGS if self.resources.of(task).nodes > 1}
        if several and (self.cluster.checkpoints is None or self.cluster.checkpoints.claim is None):
            names = ", ".join(f"resources.{task}.nodes is {nodes}" for task, nodes in several.items())
            text = (
                f"{names}: nodes share inputs, outputs and checkpoints on a ReadWriteMany claim; give it in cluster.checkpoints"
            )
            raise PydanticCustomError("hidden", "{text}", {"text": text})
        return self

    @model_validator(mode="after")
    def _gate_is_evaluated(self) -> "Params":
        sets = [*SETS, *self.evaluate.sets]
        if self.publish.gate not in sets:
            text = f"publish.gate is {self.publish.gate!r}, on which nothing is evaluated; sets are: {', '.join(sets)}"
            raise PydanticCustomError("hidden", "{text}", {"text": text})
        return self


class _UniqueLoader(yaml.SafeLoader):
    """A safe loader that refuses repeated keys, of which YAML would silently keep the last."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        _refuse_repeated_keys(node)
        return node


class _UniqueFastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # of libyaml, where there is one
    """The same in C, six times as fast; a text that is nested too deeply ends the process."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        _refuse_repeated_keys(node)
        return super().construct_mapping(node, deep)


def _refuse_repeated_keys(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} occurs twice", key.start_mark)
        seen.add(key.value)


def parse(text: str, where: str, own: bool = False) -> Any:
    """The YAML in `text`; ConfigError names `where`, line and column of a syntax error or repeated key.

    `own` is for the files of SENSE itself, which are many and long, but not hostile: libyaml reads them.
    """
    stream = io.StringIO(text)
    stream.name = where  # what YAML's errors call it
    try:
        value = yaml.load(stream, Loader=_UniqueFastLoader if own else _UniqueLoader)  # noqa: S506  (both are SafeLoaders)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
    try:
        if re.search(r"(?<!\\)(\\\\)*\\u0000", json.dumps(value, default=str)):
            raise ConfigError(f"{where}: holds the character NUL, which no path, name or text may have; remove it")
        place = records.find_surrogate(value)
    except (ValueError, RecursionError, TypeError):
        raise ConfigError(f"{where}: a part of it contains itself, or a key is no name; write it out without aliases") from None
    if place is not None:
        raise ConfigError(f"{where}: {place.removeprefix('.')} holds half of a surrogate pair, which is no character; remove it")
    return value


def validate(kind: type[Section], value: Any, where: str, text: str = "") -> Any:
    """`value` as a `kind`; ConfigError lists every wrong key with its value and what is allowed.

    With `text`, the YAML that `value` was parsed from, it names the lines of the keys.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        root = yaml.compose(text, Loader=_UniqueLoader)
        lines = [_line_number(root, problem["loc"]) + _error_line(kind, problem) for problem in error.errors()]
        noun = "error" if len(lines) == 1 else "errors"
        raise ConfigError("\n".join([f"{where}: {len(lines)} {noun}", *(f"  {line}" for line in lines)])) from None


def _line_number(root: yaml.Node | None, path: Sequence[str | int]) -> str:
    """'line N: ' of the key at `path`, or of the innermost one above it that the text has; empty where there is none."""
    number, node = 0, root
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if pair is not None:  # else a key that is missing, or what pydantic calls a kind of value
                number, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            number = node.start_mark.line + 1
    return f"line {number}: " if number else ""


def _error_line(kind: type[Section], problem: Any) -> str:
    """One line for one of pydantic's errors: key = value: what is wrong, and what would be right."""
    path = [str(part) for part in problem["loc"]]
    key = ".".join(path) or "(whole file)"
    if problem["type"] == "missing":
        return f"{key}: missing; this key must be given"
    if problem["type"] == "hidden":
        return f"{key}: {problem['msg']}" if path else str(problem["msg"])  # of several sections: it names the keys itself
    value = json.dumps(problem["input"], default=str)
    value = value if len(value) <= 60 else value[:57] + "..."
    if problem["type"] == "extra_forbidden":
        siblings = _siblings(kind, path[:-1])
        return f"{key} = {value}: unknown key; allowed here: {', '.join(siblings)}{did_you_mean(path[-1], siblings)}"
    message = _PLAIN_TEXTS.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    return f"{key} = {value}: {re.sub('^Input should ', 'must ', message)}"


def _siblings(kind: type[Section], path: list[str]) -> list[str]:
    """The keys a section knows, found by walking the field annotations down `path`."""
    current: type[BaseModel] = kind
    for part in path:
        annotation = current.model_fields[part].annotation if part in current.model_fields else None
        options = [annotation, *getattr(annotation, "__args__", ())]
        current = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), current)
    return sorted(current.model_fields)


def load(path: Path) -> Params:
    """Reads params.yaml; ConfigError lists all its errors at once, InputError says what a file is that is no text."""
    try:
        text = records.read_text(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error}); profiles to start from lie in configs/") from None
    value = parse(text, str(path))
    params: Params = validate(Params, value if value is not None else {}, str(path), text)
    return params
