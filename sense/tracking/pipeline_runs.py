"""The tree of runs of a Kubeflow pipeline run: one run for the whole, beneath it one for each task, however often it is retried.

The environment of a task names the pipeline run and the task (config.pipeline_task). Runs are looked up by tags, so a retry on
another node, without the files of the try before it, continues the run of that try.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Run, ViewType

from sense import config
from sense.tracking import store
from sense.tracking.revision import code_revision

# As Kubeflow Pipelines' own integration of MLflow calls them, so that both lead to the same page.
_RUN_ID_TAG, _RUN_URL_TAG = "kfp.pipeline_run_id", "kfp.pipeline_run_url"
_PARENT_TAG = "mlflow.parentRunId"  # MLflow's page shows the run beneath that one
_TASK_TAG = "sense.task"
_LAST_TASK = "publish"  # of every run of the pipeline that ends well
_MAX_RUNS = 1000  # of a pipeline run: its tasks, and the runs that they nest
_NAME = "sense pipeline"


@dataclass(frozen=True)
class RunLink:
    """Where a run is: the ids that MLflow has for it, and its page, empty for a store without one."""

    run_id: str
    experiment_id: str
    url: str


def task_name(task: config.PipelineTask, part: str = "") -> str:
    """The name of the task's run; `part` is the number of a shard."""
    return f"{task.name}-{part}" if part else task.name


def task_key(task: config.PipelineTask, part: str = "") -> str:
    """What tells the task's run from all others."""
    return f"pipeline/{task.run_id}/{task_name(task, part)}"


def lineage_tags(task: config.PipelineTask, part: str = "") -> dict[str, str]:
    """The tags of a task's run: the pipeline run that it belongs to, and what it runs."""
    tags = {_RUN_ID_TAG: task.run_id, _TASK_TAG: task_name(task, part), _RUN_URL_TAG: task.url}
    tags |= {"sense.pipeline_version": task.version, "sense.workflow": task.workflow, "sense.image": task.image}
    return {name: value for name, value in tags.items() if value}


def parent_tags(opened: store.TrackingStore) -> dict[str, str]:
    """The tag that nests a new run of this process beneath another: MLFLOW_RUN_ID, else the pipeline run's. Empty for neither."""
    parent = config.tracking_target().parent_run
    task = config.pipeline_task()
    if not parent and task is not None:
        parent = _whole_run(opened, task).info.run_id
    return {_PARENT_TAG: parent} if parent else {}


@store.endpoint_errors()
def tag_pipeline_run(tags: Mapping[str, str], params: Mapping[str, Any] | None = None) -> None:
    """Adds tags and parameters to the run of the whole pipeline run; outside of one nothing."""
    task = config.pipeline_task()
    if task is not None:
        opened = store.open_store()
        parent = config.tracking_target().parent_run or _whole_run(opened, task).info.run_id
        for name, value in tags.items():
            opened.client.set_tag(parent, name, value)
        for name, value in (params or {}).items():
            opened.client.log_param(parent, name, value)  # the same again is allowed


@store.endpoint_errors()
def link(run_id: str) -> RunLink:
    """Where the run is that has this id."""
    opened = store.open_store()
    experiment = str(opened.client.get_run(run_id).info.experiment_id)
    address = store.address().rstrip("/")
    is_server = address.startswith(("http://", "https://"))
    return RunLink(run_id, experiment, f"{address}/#/experiments/{experiment}/runs/{run_id}" if is_server else "")


def _whole_run(opened: store.TrackingStore, task: config.PipelineTask) -> Run:
    """The run of the whole pipeline run: Kubeflow Pipelines' own, if there is one in this experiment, else SENSE's."""
    whole = [run for run in _tree(opened, task) if _PARENT_TAG not in run.data.tags]
    if whole:
        return whole[0]
    shared = {name: value for name, value in lineage_tags(task).items() if name != _TASK_TAG}
    tags = {store.KEY_TAG: f"pipeline/{task.run_id}", "sense.code_rev": code_revision(), **shared}
    return opened.client.create_run(opened.experiment, run_name=task.workflow or _NAME, tags=tags)


def _tree(opened: store.TrackingStore, task: config.PipelineTask) -> list[Run]:
    """All runs of the pipeline run, the oldest first."""
    condition = f"tags.`{_RUN_ID_TAG}` = '{task.run_id}'"
    order = ["attributes.start_time ASC"]
    return list(
        opened.client.search_runs(
            [opened.experiment], condition, run_view_type=ViewType.ACTIVE_ONLY, max_results=_MAX_RUNS, order_by=order
        )
    )


def settle(opened: store.TrackingStore, task: config.PipelineTask) -> None:
    """Gives the run of the whole the state that its tasks' runs add up to. One that is not SENSE's is left alone."""
    tree = _tree(opened, task)
    states = {run.data.tags.get(_TASK_TAG, ""): run.info.status for run in tree if _PARENT_TAG in run.data.tags}
    unfinished = [state for state in ("FAILED", "KILLED", "RUNNING") if state in states.values()]
    status = unfinished[0] if unfinished else "FINISHED" if _LAST_TASK in states else "RUNNING"
    for run in tree:
        if run.data.tags.get(store.KEY_TAG) == f"pipeline/{task.run_id}" and run.info.status != status:
            if status == "RUNNING":
                opened.client.update_run(run.info.run_id, status=status)
            else:
                opened.client.set_terminated(run.info.run_id, status)
