"""What a compiled pipeline asks of a cluster, task by task, read back from the compiled text."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

COLUMNS = ("stage", "image", "GPU", "cpu", "memory", "nodes", "tolerations", "volumes", "retries", "timeout", "cache")
_WIDTH = 170  # characters


def describe(text: str) -> list[dict[str, str]]:
    """A row for each task of the compiled pipeline `text`, with COLUMNS; tasks in the order in which they can start."""
    spec, *rest = yaml.safe_load_all(text)
    platform = rest[0]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if rest else {}
    executors = spec["deploymentSpec"]["executors"]
    rows = []
    for task in _tasks(spec, spec["root"]["dag"]["tasks"]):
        label = spec["components"][task["componentRef"]["name"]]["executorLabel"]
        rows.append(_row(task, executors[label]["container"], platform.get(label, {})))
    return rows


def show(rows: list[dict[str, str]]) -> None:
    """Prints the rows as a table, which on a narrow terminal is wider than that rather than unreadable."""
    console = Console()
    Console(width=max(console.width, _WIDTH)).print(_table(rows))


def _table(rows: list[dict[str, str]]) -> Table:
    shown = Table(box=SIMPLE_HEAD)
    for column in COLUMNS:
        shown.add_column(column, overflow="fold", no_wrap=column in ("stage", "cpu", "memory"))
    for row in rows:
        shown.add_row(*(row[column] for column in COLUMNS))
    return shown


def _tasks(spec: Mapping[str, Any], tasks: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The tasks, those they depend on first; loops and conditions opened."""
    left = dict(tasks)
    while left:
        name = next(name for name, task in left.items() if not set(task.get("dependentTasks", ())) & set(left))
        task = left.pop(name)
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
        f"{accelerator['resourceCount']} x {accelerator['resourceType']}" if accelerator else "",
        resources.get("resourceCpuLimit", ""),
        resources.get("resourceMemoryLimit", ""),
        ", ".join(f"{key}={value}" for key, value in pod.get("nodeSelector", {}).get("labels", {}).items()),
        ", ".join(map(_toleration, pod.get("tolerations", ()))),
        ", ".join([*_claims(pod), *_folders(pod)]),
        f"{retry['maxRetryCount']}, after {retry['backoffDuration']} x {retry['backoffFactor']:g}" if retry else "",
        f"{pod['activeDeadlineSeconds']} s" if "activeDeadlineSeconds" in pod else "",
        "yes" if task.get("cachingOptions", {}).get("enableCache") else "no",
    )
    return dict(zip(COLUMNS, values, strict=True))


def _toleration(found: Mapping[str, Any]) -> str:
    value = f"={found['value']}" if "value" in found else ""
    effect = f":{found['effect']}" if "effect" in found else ""
    return f"{found.get('key', '*')}{value}{effect}"


def _claims(pod: Mapping[str, Any]) -> Iterator[str]:
    for mount in pod.get("pvcMount", ()):
        name = mount.get("constant") or mount.get("pvcNameParameter", {}).get("runtimeValue", {}).get("constant", "?")
        yield f"{name} at {mount['mountPath']}"


def _folders(pod: Mapping[str, Any]) -> Iterator[str]:
    for mount in pod.get("emptyDirMounts", ()):
        yield f"{mount.get('sizeLimit', '')} {mount.get('medium', 'disk').lower()} at {mount['mountPath']}".strip()
