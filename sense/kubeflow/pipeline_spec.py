"""The pipeline as KFP's pipeline spec (IR YAML): compiled, and read back as a table of what each task asks of the cluster."""

import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp import compiler
from kfp.pipeline_spec import pipeline_spec_pb2
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

COLUMNS = ("stage", "image", "GPU", "cpu", "memory", "nodes", "tolerations", "pod", "volumes", "retries", "timeout", "cache")
_MIN_WIDTH = 170  # characters
_WIDTH = 130  # characters of a line of YAML, where a text can be broken


def compile_pipeline(pipeline: Callable[..., Any]) -> str:
    """The YAML of `pipeline`. The same pipeline gives the same text; ParseError if KFP's protobuf does not know a part of it.

    KFP writes its file for PyYAML's eyes; here every text is put in double quotes, because KFP's server and Kubernetes read YAML
    as Go does: without quotes `y` is true there, and `0o14` is 12.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(file))
        text = file.read_text(encoding="utf-8")
    spec, *platform = yaml.safe_load_all(text)
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    return _leading_comments(text) + quoted_yaml(spec, *platform)


def with_variables(text: str, variables: Mapping[str, str]) -> str:
    """The compiled pipeline `text` with environment variables for every task: what is known when it is submitted alone."""
    spec, *platform = yaml.safe_load_all(text)
    for executor in spec["deploymentSpec"]["executors"].values():
        executor["container"].setdefault("env", []).extend({"name": name, "value": value} for name, value in variables.items())
    return _leading_comments(text) + quoted_yaml(spec, *platform)


def quoted_yaml(*documents: Mapping[str, Any]) -> str:
    """The documents as YAML; every text, keys too, stands in double quotes, so that no reader takes it for another type."""
    return yaml.dump_all(documents, Dumper=_QuotingDumper, width=_WIDTH, allow_unicode=True, sort_keys=False)


class _QuotingDumper(yaml.SafeDumper):
    """Writes every text in double quotes."""


_QuotingDumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def _leading_comments(text: str) -> str:
    """The comments before the first document: name, inputs and description, which KFP writes for people."""
    return "".join(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))


def describe_tasks(text: str) -> list[dict[str, str]]:
    """A row for each task of the compiled pipeline `text`, with COLUMNS as keys, in the order in which the tasks can start."""
    spec, *rest = yaml.safe_load_all(text)
    platform = rest[0]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if rest else {}
    executors = spec["deploymentSpec"]["executors"]
    rows = []
    for task in _tasks(spec, spec["root"]["dag"]["tasks"]):
        label = spec["components"][task["componentRef"]["name"]]["executorLabel"]
        rows.append(_row(task, executors[label]["container"], platform.get(label, {})))
    return rows


def print_rows(rows: list[dict[str, str]]) -> None:
    """Prints the rows as a table of at least 170 characters: narrower columns could not be read."""
    console = Console()
    Console(width=max(console.width, _MIN_WIDTH)).print(_table(rows))


def _table(rows: list[dict[str, str]]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for column in rows[0]:
        table.add_column(column, overflow="fold", no_wrap=column in ("stage", "cpu", "memory", "input", "key"))
    for row in rows:
        table.add_row(*row.values())
    return table


def _tasks(spec: Mapping[str, Any], tasks: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The tasks, each after those it depends on; loops and conditions are replaced by the tasks inside them."""
    remaining = dict(tasks)
    while remaining:
        name = next(name for name, task in remaining.items() if not set(task.get("dependentTasks", ())) & set(remaining))
        task = remaining.pop(name)
        component = spec["components"][task["componentRef"]["name"]]
        if "dag" in component:
            yield from _tasks(spec, component["dag"]["tasks"])
        else:
            yield task


def _row(task: Mapping[str, Any], container: Mapping[str, Any], pod: Mapping[str, Any]) -> dict[str, str]:
    resources = container.get("resources", {})
    accelerator = resources.get("accelerator", {})
    retry = task.get("retryPolicy", {})
    values = (
        task["taskInfo"]["name"],
        container["image"],
        _node_gpus(task) or (f"{accelerator['resourceCount']} x {accelerator['resourceType']}" if accelerator else ""),
        resources.get("resourceCpuLimit", ""),
        resources.get("resourceMemoryLimit", ""),
        ", ".join([*_pairs(pod.get("nodeSelector", {}).get("labels", {})), *_affinity(pod)]),
        ", ".join(map(_toleration, pod.get("tolerations", ()))),
        ", ".join(
            [*_pairs(pod.get("podMetadata", {}).get("labels", {})), *_pairs(pod.get("podMetadata", {}).get("annotations", {}))]
        ),
        ", ".join([*_claims(pod), *_config_maps(pod), *_folders(pod)]),
        f"{retry['maxRetryCount']}, after {retry['backoffDuration']} x {retry['backoffFactor']:g}" if retry else "",
        f"{pod['activeDeadlineSeconds']} s" if "activeDeadlineSeconds" in pod else "",
        "yes" if task.get("cachingOptions", {}).get("enableCache") else "no",
    )
    return dict(zip(COLUMNS, values, strict=True))


def _node_gpus(task: Mapping[str, Any]) -> str:
    """What the nodes of a training have, if a TrainJob does it: the task itself only waits."""
    job = task.get("inputs", {}).get("parameters", {}).get("job", {}).get("runtimeValue", {}).get("constant", "")
    if not job:
        return ""
    trainer = json.loads(job)["job"]["spec"]["trainer"]
    gpus = [f"{n} x {name}" for name, n in trainer["resourcesPerNode"]["limits"].items() if name not in ("cpu", "memory")]
    return f"TrainJob: {trainer['numNodes']} nodes of {', '.join(gpus) or 'processors alone'}"


def _pairs(texts: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in texts.items()]


def _affinity(pod: Mapping[str, Any]) -> Iterator[str]:
    for term in pod.get("nodeAffinity", ()):
        for rule in term.get("matchExpressions", ()):
            preferred = f" (preferred, {term['weight']:g})" if "weight" in term else ""
            yield " ".join([rule["key"], rule["operator"], *rule.get("values", ())]) + preferred


def _toleration(toleration: Mapping[str, Any]) -> str:
    value = f"={toleration['value']}" if "value" in toleration else ""
    effect = f":{toleration['effect']}" if "effect" in toleration else ""
    return f"{toleration.get('key', '*')}{value}{effect}"


def _claims(pod: Mapping[str, Any]) -> Iterator[str]:
    for mount in pod.get("pvcMount", ()):
        name = mount.get("constant") or mount.get("pvcNameParameter", {}).get("runtimeValue", {}).get("constant", "?")
        yield f"{name} at {mount['mountPath']}"


def _config_maps(pod: Mapping[str, Any]) -> Iterator[str]:
    for mount in pod.get("configMapAsVolume", ()):
        yield f"config map {mount['configMapName']} at {mount['mountPath']}"


def _folders(pod: Mapping[str, Any]) -> Iterator[str]:
    for mount in pod.get("emptyDirMounts", ()):
        yield f"{mount.get('sizeLimit', '')} {mount.get('medium', 'disk').lower()} at {mount['mountPath']}".strip()
