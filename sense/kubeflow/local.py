"""A pipeline run on this machine, without a cluster: each task a process, or a container of the image."""

import os
import re
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from kfp import local

from sense.config import Params
from sense.errors import SenseError, UserError

Runner = Literal["subprocess", "docker"]


def at_home(params: Params) -> Params:
    """The same parameters for a run on this machine, where there are no claims and no node's environment."""
    home = params.cluster.model_copy(update={"weights": None, "checkpoints": None, "env": {}})
    return params.model_copy(update={"cluster": home})


def insist_on_image(image: str) -> None:
    """UserError unless a Docker engine answers and has the image."""
    try:
        asked = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError("there is no docker here; install it, or take --runner subprocess") from None
    if "no such image" in asked.stderr.lower():
        raise UserError(f"cluster.image {image}: Docker has no such image; make image IMAGE={image}")
    if asked.returncode != 0:
        said = asked.stderr.strip().splitlines()[-1]
        raise UserError(f"no Docker engine answers ({said}); start it, or take --runner subprocess")


def run(pipeline: Callable[..., Any], runner: Runner, root: Path, environment: Mapping[str, str], user: str) -> Path:
    """Runs `pipeline` and returns the folder of its outputs, a new one in `root`; `verify` it, KFP's word is not enough.

    `environment` and `user` (uid:gid) are the containers'; processes have this one's. UserError if a task failed; its log
    is on the terminal.
    """
    mask = os.umask(0o002)  # what is made here, containers of another user but the same group write into
    try:
        return _run(pipeline, _runner(runner, environment, user), root.resolve())
    finally:
        os.umask(mask)


def _run(pipeline: Callable[..., Any], runner: Any, root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    before = set(root.iterdir())
    with tempfile.TemporaryDirectory(prefix="sense-workspace-") as workspace, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that processors, memory and the like mean nothing here: nobody expects them to
        local.init(runner, pipeline_root=str(root), workspace_root=workspace)
        try:
            pipeline()
        except RuntimeError as error:  # KFP's only way to say that a task failed
            said = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).rstrip(".")
            raise UserError(f"{said}; its log is above, what is done lies in {root}") from None
    (folder,) = set(root.iterdir()) - before
    return folder


def _runner(runner: Runner, environment: Mapping[str, str], user: str) -> Any:
    if runner == "subprocess":
        return local.SubprocessRunner(use_venv=False)
    return local.DockerRunner(
        network_mode="host",
        user=user,
        read_only=True,
        tmpfs={"/tmp": "rw,exec"},  # noqa: S108  (the container's own)
        environment=dict(environment),
        working_dir="/tmp",  # noqa: S108
    )


def verify(folder: Path, text: str) -> None:
    """SenseError unless every task of the compiled pipeline `text` has left its outputs in `folder`; of branches, one."""
    spec = next(yaml.safe_load_all(text))
    missing = []
    for name, task in spec["root"]["dag"]["tasks"].items():
        inner = spec["components"][task["componentRef"]["name"]].get("dag", {}).get("tasks")
        choices = [name] if inner is None else [f"**/{leaf}" for leaf in _leaves(spec, inner)]
        if not any(file for choice in choices for file in folder.glob(f"{choice}/executor_output.json")):
            missing.append(name)
    if missing:
        raise SenseError(f"{folder}: no output of {', '.join(missing)}, whatever the runner said; see the log above")


def _leaves(spec: Mapping[str, Any], tasks: Mapping[str, Any]) -> list[str]:
    """The names of the tasks inside a loop or a condition."""
    found = []
    for name, task in tasks.items():
        inner = spec["components"][task["componentRef"]["name"]].get("dag", {}).get("tasks")
        found += [name] if inner is None else _leaves(spec, inner)
    return found
