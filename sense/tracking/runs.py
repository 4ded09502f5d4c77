"""A stage's run in MLflow: parameters, a curve, final metrics. A killed stage that runs again continues its run."""

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag

from sense import config, records
from sense.records import flatten, is_number
from sense.tracking import revision, store

# MLflow's limits: characters of a key, of a parameter's and of a tag's value; entries of one request.
_KEY, _PARAM, _TAG = 250, 6000, 8000
_PARAMS_AT_ONCE, _METRICS_AT_ONCE = 100, 1000


class Run:
    """An open run. As a context manager it ends as FAILED or KILLED when its block does not end well."""

    def __init__(self, opened: store.Store, run: Any) -> None:
        self.id: str = run.info.run_id
        self.started: int = run.info.start_time
        self._client = opened.client
        self._known = sorted(run.data.metrics)
        self._logged: dict[str, set[int]] | None = None

    @store.reported()
    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Logs numbers at `step`; a step that a killed try has logged already is left as it is."""
        now = int(time.time() * 1000)
        logged = self._already()
        fresh = {key: value for key, value in flat(values).items() if is_number(value) and step not in logged.get(key, ())}
        metrics = [Metric(key, float(value), now, step) for key, value in fresh.items()]
        for part in _parts(metrics, _METRICS_AT_ONCE):
            self._client.log_batch(self.id, metrics=part)
        for key in fresh:
            logged.setdefault(key, set()).add(step)

    @store.reported()
    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Ends the run well, with its last numbers (nested; under `final.`, apart from the curve's)."""
        self.log(0, {"final": metrics})
        self._client.set_terminated(self.id, "FINISHED")

    def _already(self) -> dict[str, set[int]]:
        """The steps logged so far, per key: read from the store once, when a run is continued."""
        if self._logged is None:
            history = {key: self._client.get_metric_history(self.id, key) for key in self._known}
            self._logged = {key: {point.step for point in points} for key, points in history.items()}
        return self._logged

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with store.reported():
                self._client.set_terminated(self.id, "FAILED" if issubclass(kind, Exception) else "KILLED")


class Silent:
    """The run of a process that is not the first of those started together: it logs nothing."""

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Logs nothing: the first process does."""

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Ends nothing: the first process does."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None:
        return None


@store.reported()
def training_run(name: str, params: Mapping[str, Any], resume_file: Path) -> Run | Silent:
    """Opens the run `name`; the same `resume_file` gives the same run again, unless that was deleted from the store.

    `params` may be nested: keys are joined with dots, and long values cut at MLflow's limits. Of several processes that
    train together (accelerate, torchrun) only the first has a run.
    """
    if not config.is_main_process():
        return Silent()
    if not resume_file.is_file():
        records.write_json(resume_file, {"key": uuid.uuid4().hex})  # first, so that no run is ever left without its key
    return keyed(name, str(records.read_json(resume_file)["key"]), params, {"sense.code_rev": revision.current()})


def keyed(name: str, key: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> Run:
    """The run that carries `key`, set going again, or a new one."""
    opened = store.current()
    run = store.find_run(opened, key)
    if run is None:
        run = opened.client.create_run(opened.experiment, run_name=name, tags={store.KEY: key})
    else:
        opened.client.update_run(run.info.run_id, status="RUNNING")
    texts = {k: str(v)[:_PARAM] for k, v in flat(params).items() if k not in run.data.params}  # a parameter is written once
    for part in _parts([Param(k, v) for k, v in texts.items()], _PARAMS_AT_ONCE):
        opened.client.log_batch(run.info.run_id, params=part)
    for part in _parts([RunTag(k, v[:_TAG]) for k, v in tags.items()], _PARAMS_AT_ONCE):
        opened.client.log_batch(run.info.run_id, tags=part)
    return Run(opened, run)


def flat(value: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as one, keys joined with dots and made fit for MLflow."""
    return {re.sub(r"[^A-Za-z0-9_./ -]", "_", name)[:_KEY]: inner for name, inner in flatten(value).items()}


def _parts(rows: list[Any], size: int) -> Iterator[list[Any]]:
    for start_at in range(0, len(rows), size):
        yield rows[start_at : start_at + size]
