"""A pipeline run on this machine, without a cluster: each task a process, or a container of the image."""

import os
import re
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from unittest import mock

import yaml
from kfp import local
from kfp.local.orchestrator import task_spec_utils

from sense.config import PIPELINE_VARIABLES, TRAININGS, Params, with_variables
from sense.errors import SenseError, UserError

Runner = Literal["subprocess", "docker"]


def without_cluster(params: Params) -> Params:
    """The same parameters for a run on this machine: one node, no claims, and not the environment of cluster tasks."""
    cluster = params.cluster.model_copy(update={"weights": None, "checkpoints": None, "authorities": None, "env": {}})
    one_node = {task: params.resources.of(task).model_copy(update={"nodes": 1}) for task in TRAININGS}
    return params.model_copy(update={"cluster": cluster, "resources": params.resources.model_copy(update=one_node)})


def require_image(image: str) -> None:
    """UserError unless a Docker engine answers and has the image."""
    try:
        inspection = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError("there is no docker here; install it, or take --runner subprocess") from None
    if "no such image" in inspection.stderr.lower():
        raise UserError(f"cluster.image {image}: Docker has no such image; make image IMAGE={image}")
    if inspection.returncode != 0:
        message = inspection.stderr.strip().splitlines()[-1]
        raise UserError(f"no Docker engine answers ({message}); start it, or take --runner subprocess")


def run(
    pipeline: Callable[..., Any],
    runner: Runner,
    root: Path,
    environment: Mapping[str, str],
    user: str,
    inputs: Mapping[str, Any] = MappingProxyType({}),
) -> Path:
    """Runs `pipeline`; returns the folder of its outputs, a new one in `root`. Call `verify` on it: KFP may report false success.

    `environment` and `user` (uid:gid) are for containers; processes run with this process's own. `inputs` are those of the
    pipeline that differ from their defaults. All tasks get the id of this pipeline run, by which they share one run in MLflow.
    UserError if a task failed; its log is on the terminal.
    """
    run_id = {PIPELINE_VARIABLES["run_id"]: f"local-{uuid.uuid4().hex}"}
    mask = os.umask(0o002)  # containers of another user in the same group write into these folders
    try:
        with with_variables(run_id):
            return _run(pipeline, _runner(runner, {**environment, **run_id}, user), root.resolve(), inputs)
    finally:
        os.umask(mask)


def _run(pipeline: Callable[..., Any], runner: Any, root: Path, inputs: Mapping[str, Any]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    before = set(root.iterdir())
    workspaces = tempfile.TemporaryDirectory(prefix="sense-workspace-")
    with workspaces as workspace, warnings.catch_warnings(), _outputs_in_loops():
        warnings.simplefilter("ignore")  # KFP's, that resources such as memory have no effect in a local run
        local.init(runner, pipeline_root=str(root), workspace_root=workspace)
        try:
            pipeline(**inputs)
        except RuntimeError as error:  # KFP's only way to say that a task failed
            message = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).rstrip(".")
            raise UserError(f"{message}; its log is above, the outputs of finished tasks are in {root}") from None
    (folder,) = set(root.iterdir()) - before
    return folder


@contextmanager
def _outputs_in_loops() -> Iterator[None]:
    """Within the block tasks in a loop get outputs of tasks outside of it; KFP 2.17 gives them the loop's item instead."""
    create = task_spec_utils.create_parameter_loop_iteration_task_spec

    def create_with_outputs(loop: Any, item: Any, name: str) -> Any:
        iteration = create(loop, item, name)
        for key, value in loop.inputs.parameters.items():
            if value.HasField("task_output_parameter"):
                iteration.inputs.parameters[key].CopyFrom(value)
        return iteration

    with mock.patch.object(task_spec_utils, create.__name__, create_with_outputs):
        yield


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
    """SenseError unless every task of the compiled pipeline `text` left outputs in `folder`; of two branches, one must have."""
    spec = next(yaml.safe_load_all(text))
    missing = []
    for name, task in spec["root"]["dag"]["tasks"].items():
        inner = spec["components"][task["componentRef"]["name"]].get("dag", {}).get("tasks")
        patterns = [name] if inner is None else [f"**/{leaf}" for leaf in _leaves(spec, inner)]
        if not any(file for pattern in patterns for file in folder.glob(f"{pattern}/executor_output.json")):
            missing.append(name)
    if missing:
        raise SenseError(f"{folder}: no output of {', '.join(missing)}, although the runner reported success; see the log above")


def _leaves(spec: Mapping[str, Any], tasks: Mapping[str, Any]) -> list[str]:
    """The names of the tasks inside a loop or a condition."""
    names = []
    for name, task in tasks.items():
        inner = spec["components"][task["componentRef"]["name"]].get("dag", {}).get("tasks")
        names += [name] if inner is None else _leaves(spec, inner)
    return names
