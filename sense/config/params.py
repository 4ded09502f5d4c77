"""The whole of params.yaml: reading it, and saying what is wrong with it, all at once."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from sense.config.cluster import ClusterConfig, ResourcesConfig
from sense.config.data import DataConfig, IngestConfig, PreferConfig, SampleConfig, SynthesizeConfig
from sense.config.evaluation import EvaluateConfig, PublishConfig, ReportConfig
from sense.config.section import Section
from sense.config.training import DpoConfig, SftConfig
from sense.errors import ConfigError


class Params(Section):
    """The whole of params.yaml; `weak` is the weak model's SFT, the same stage as `sft`."""

    data: DataConfig = DataConfig()
    ingest: IngestConfig
    synthesize: SynthesizeConfig
    sft: SftConfig
    weak: SftConfig
    sample: SampleConfig
    prefer: PreferConfig
    dpo: DpoConfig
    evaluate: EvaluateConfig
    publish: PublishConfig
    report: ReportConfig = ReportConfig()
    cluster: ClusterConfig = ClusterConfig()
    resources: ResourcesConfig = ResourcesConfig()


class _UniqueLoader(yaml.SafeLoader):
    """A safe loader that refuses repeated keys, of which YAML would silently keep the last."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} occurs twice", key.start_mark)
            seen.add(key.value)
        return node


def parse(text: str, where: str) -> Any:
    """The YAML in `text`; ConfigError names `where`, line and column of a syntax error or repeated key."""
    try:
        value = yaml.load(text, Loader=_UniqueLoader)  # noqa: S506  (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
    try:
        if re.search(r"(?<!\\)(\\\\)*\\u0000", json.dumps(value, default=str)):
            raise ConfigError(f"{where}: holds the character NUL, which no path, name or text may have; remove it")
    except (ValueError, RecursionError, TypeError):
        raise ConfigError(f"{where}: a part of it contains itself, or a key is no name; write it out without aliases") from None
    return value


def validate(kind: type[Section], value: Any, where: str) -> Any:
    """`value` as a `kind`; ConfigError lists every wrong key with its value and what is allowed."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        lines = [_explain(kind, problem) for problem in error.errors()]
        noun = "error" if len(lines) == 1 else "errors"
        raise ConfigError("\n".join([f"{where}: {len(lines)} {noun}", *(f"  {line}" for line in lines)])) from None


def _explain(kind: type[Section], problem: Any) -> str:
    """One line for one of pydantic's errors: key = value: what is wrong, and what would be right."""
    path = [str(part) for part in problem["loc"]]
    key = ".".join(path) or "(whole file)"
    if problem["type"] == "missing":
        return f"{key}: missing; this key must be given"
    if problem["type"] == "hidden":
        return f"{key}: {problem['msg']}"
    shown = json.dumps(problem["input"], default=str)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    if problem["type"] == "extra_forbidden":
        return f"{key} = {shown}: unknown key; allowed here: {', '.join(_siblings(kind, path[:-1]))}"
    return f"{key} = {shown}: {problem['msg'].removeprefix('Value error, ')}"


def _siblings(kind: type[Section], path: list[str]) -> list[str]:
    """The keys a section knows, found by walking the field annotations down `path`."""
    current: type[BaseModel] = kind
    for part in path:
        annotation = current.model_fields[part].annotation if part in current.model_fields else None
        options = [annotation, *getattr(annotation, "__args__", ())]
        current = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), current)
    return sorted(current.model_fields)


def load(path: Path) -> Params:
    """Reads params.yaml; ConfigError lists all its errors at once."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); profiles to start from lie in configs/") from None
    value = parse(text, str(path))
    params: Params = validate(Params, value if value is not None else {}, str(path))
    return params
