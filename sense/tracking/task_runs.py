"""The run of one task of a Kubeflow pipeline run, and of what the task itself logs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sense import config
from sense.tracking import pipeline_runs, runs, store
from sense.tracking.revision import code_revision


@contextmanager
def task_run(params: Mapping[str, Any], tags: Mapping[str, str], part: str = "") -> Iterator[runs.TrackedRun | None]:
    """The run of this process's task, open within the block; None outside of a pipeline. `part` is the number of a shard.

    A training run or the run of the data that the block opens is this run; any other is nested beneath it. A block that ends
    well ends the run, and one that raises marks it as failed; the run of the whole pipeline run follows. EndpointError if there
    is no store.
    """
    task = config.pipeline_task()
    if task is None:
        yield None
        return
    tags = {**pipeline_runs.lineage_tags(task, part), "sense.code_rev": code_revision(), **tags}
    with store.endpoint_errors():
        opened = store.open_store()
        run = runs.open_run(pipeline_runs.task_name(task, part), pipeline_runs.task_key(task, part), params, tags)
        pipeline_runs.settle(opened, task)
    try:
        with run, runs.nested(run.id):
            yield run
            with store.endpoint_errors():
                if not run.has_ended():
                    run.finish({})
    finally:
        with store.endpoint_errors():
            pipeline_runs.settle(opened, task)
