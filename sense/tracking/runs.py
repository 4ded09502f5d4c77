"""Runs in MLflow: a training stage's, with parameters, curve and final metrics, and `data`. A killed stage continues its run."""

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag

from sense import config, records
from sense.cost import meter
from sense.errors import EndpointError
from sense.records import flatten, is_number
from sense.tracking import pipeline_runs, store
from sense.tracking.data_references import DATA_TAG
from sense.tracking.revision import code_revision

# MLflow's limits: characters of a key, of a parameter's and of a tag's value; entries of one request.
_KEY_LENGTH, _PARAM_LENGTH, _TAG_LENGTH = 250, 6000, 8000
_PARAMS_AT_ONCE, _METRICS_AT_ONCE = 100, 1000


class TrackedRun:
    """An open run. As a context manager it ends as FAILED or KILLED when its block does not end well."""

    def __init__(self, opened: store.TrackingStore, run: Any) -> None:
        self.id: str = run.info.run_id
        self.started: int = run.info.start_time  # milliseconds since 1970
        self._client = opened.client
        self._metric_keys = sorted(run.data.metrics)
        self._logged: dict[str, set[int]] | None = None

    @store.endpoint_errors()
    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Logs numbers at `step`; a step that a killed try has logged already is left as it is."""
        now = int(time.time() * 1000)
        logged = self._logged_steps()
        new = {key: value for key, value in mlflow_keys(values).items() if is_number(value) and step not in logged.get(key, ())}
        metrics = [Metric(key, float(value), now, step) for key, value in new.items()]
        for part in _batches(metrics, _METRICS_AT_ONCE):
            self._client.log_batch(self.id, metrics=part)
        for key in new:
            logged.setdefault(key, set()).add(step)

    @store.endpoint_errors()
    def log_text(self, text: str, file: str) -> None:
        """Keeps `text` as an artifact of the run."""
        self._client.log_text(self.id, text, file)

    @store.endpoint_errors()
    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Ends the run well, with its last numbers (nested; under `final.`, apart from the curve's).

        What this try of the stage has cost so far stands under `cost.`.
        """
        cost = meter.so_far()
        self.log(0, {"final": metrics, **({} if cost is None else cost.numbers())})
        self._client.set_terminated(self.id, "FINISHED")

    @store.endpoint_errors()
    def has_ended(self) -> bool:
        """Whether the store has the run as ended well, whoever has ended it."""
        return bool(self._client.get_run(self.id).info.status == "FINISHED")

    def _logged_steps(self) -> dict[str, set[int]]:
        """The steps logged so far, per key: read from the store once, when a run is continued."""
        if self._logged is None:
            history = {key: self._client.get_metric_history(self.id, key) for key in self._metric_keys}
            self._logged = {key: {point.step for point in points} for key, points in history.items()}
        return self._logged

    def __enter__(self) -> "TrackedRun":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with store.endpoint_errors():
                self._client.set_terminated(self.id, "FAILED" if issubclass(kind, Exception) else "KILLED")


class SilentRun:
    """The run of a process that is not the first of those started together: it logs nothing."""

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Logs nothing: the first process does."""

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Ends nothing: the first process does."""

    def __enter__(self) -> "SilentRun":
        return self

    def __exit__(self, *_: object) -> None:
        return None


_parent: ContextVar[str] = ContextVar("parent", default="")


@contextmanager
def nested(run_id: str) -> Iterator[None]:
    """Within the block every new run is a child of the run `run_id`."""
    token = _parent.set(run_id)
    try:
        yield
    finally:
        _parent.reset(token)


@contextmanager
def parent_run(name: str, key: str, params: Mapping[str, Any]) -> Iterator[TrackedRun]:
    """The run `name`, of which every training run that is opened within the block is a child; the same `key` is the same run."""
    with open_run(name, key, params, {"sense.code_rev": code_revision()}) as run, nested(run.id):
        yield run


@store.endpoint_errors()
def training_run(name: str, params: Mapping[str, Any], resume_file: Path) -> TrackedRun | SilentRun:
    """Opens the run `name`; the same `resume_file` gives the same run again, unless that was deleted from the store.

    In a task of a pipeline it is the task's run, whatever the file. `params` may be nested: keys are joined with dots, and long
    values cut at MLflow's limits. Of several processes that train together (accelerate, torchrun) only the first has a run.
    """
    if not config.is_main_process():
        return SilentRun()
    tags = {"sense.code_rev": code_revision()}
    task = config.pipeline_task()
    if task is not None:
        return open_run(task.name, pipeline_runs.task_key(task), params, {**pipeline_runs.lineage_tags(task), **tags})
    if not resume_file.is_file():
        records.write_json(resume_file, {"key": uuid.uuid4().hex})  # first, so that no run is ever left without its key
    return open_run(name, str(records.read_json(resume_file)["key"]), params, tags)


@store.endpoint_errors()
def record_data(key: str, digests: Mapping[str, str], remote: str, lock: str) -> str:
    """Logs the run `data`: digests as tags `sense.data.<name>`, the remote, and the text of dvc.lock; returns the run's id.

    What has the same `key` is the same run, so a killed call is completed by its repetition. In a task of a pipeline it is the
    task's run, and the digests are tags of the pipeline run's own run too.
    """
    task = config.pipeline_task()
    if task is not None:
        key = pipeline_runs.task_key(task)
        pipeline_runs.tag_pipeline_run({f"{DATA_TAG}{name}": digest for name, digest in digests.items()})
    tags = {f"{DATA_TAG}{name}": digest for name, digest in digests.items()}
    tags |= {"sense.data_remote": remote, "sense.code_rev": code_revision()}
    opened = store.open_store()
    with open_run("data", key, {}, tags) as run:
        try:
            opened.client.log_text(run.id, lock, "dvc.lock")
        except OSError as error:  # of the artifact store, which may be another server
            raise EndpointError(f"MLflow cannot keep dvc.lock ({error}); check its artifact store, then run again") from None
        run.finish({})
    return run.id


def open_run(name: str, key: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> TrackedRun:
    """The run that carries `key`, set to RUNNING again, or a new one."""
    opened = store.open_store()
    run = store.find_run(opened, key)
    if run is None:
        nesting = {"mlflow.parentRunId": _parent.get()} if _parent.get() else pipeline_runs.parent_tags(opened)
        run = opened.client.create_run(opened.experiment, run_name=name, tags={store.KEY_TAG: key, **nesting})
    else:
        opened.client.update_run(run.info.run_id, status="RUNNING")
    # MLflow refuses to write a parameter a second time
    new_params = {k: str(v)[:_PARAM_LENGTH] for k, v in mlflow_keys(params).items() if k not in run.data.params}
    for part in _batches([Param(k, v) for k, v in new_params.items()], _PARAMS_AT_ONCE):
        opened.client.log_batch(run.info.run_id, params=part)
    for part in _batches([RunTag(k, v[:_TAG_LENGTH]) for k, v in tags.items()], _PARAMS_AT_ONCE):
        opened.client.log_batch(run.info.run_id, tags=part)
    return TrackedRun(opened, run)


def mlflow_keys(value: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as one, keys joined with dots, other characters than MLflow allows replaced by `_`."""
    return {re.sub(r"[^A-Za-z0-9_./ -]", "_", name)[:_KEY_LENGTH]: inner for name, inner in flatten(value).items()}


def _batches(rows: list[Any], size: int) -> Iterator[list[Any]]:
    for start_at in range(0, len(rows), size):
        yield rows[start_at : start_at + size]
