"""A task of the pipeline: a stage on KFP's artifacts, its figures beside them, and its run in MLflow, linked both ways."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sense import config, console, garbage
from sense.cost import record as costs
from sense.errors import EndpointError
from sense.kubeflow import nodes
from sense.kubeflow.preflight import Surroundings, require_all, run_checks
from sense.records import finite_numbers
from sense.report import markdown
from sense.stages import module
from sense.stages.launch import TRAINING, launch


def run(
    stage: str,
    section: Mapping[str, Any],
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    summary: Any,
    revisions: Mapping[str, str],
    gpus: int = 0,
    job: str = "",
) -> dict[str, Any]:
    """Runs `stage` in a process for each of the task's GPUs, or, with `job`, as a TrainJob on several nodes; returns its metrics.

    `inputs` and `outputs` map its ports to KFP's artifacts. The metrics and the cost become metadata of the artifact `metrics`,
    and a table in `summary`, if there are these. `revisions` are the digests that the task is cached by, for the run in MLflow.
    """
    garbage.collect_old_rarely()
    settings = config.validate(module(stage).Config, section, f"the section of {stage}")
    part = str(section["shard"]["number"]).removesuffix(".0") if "shard" in section else ""
    params = {} if stage in TRAINING else settings.model_dump(mode="json")  # what trains logs its own
    input_paths, output_paths = ({name: artifact.path for name, artifact in ports.items()} for ports in (inputs, outputs))
    with tracked(summary or outputs["report"], params, revisions, part) as tracked_run:
        if job:
            metrics = nodes.run(job, stage, section, input_paths, output_paths)
        else:
            metrics = launch(stage, section, input_paths, output_paths, gpus or None)
        describe(stage, metrics, outputs.get("metrics"), summary)
        finish(tracked_run, metrics)
    return metrics


def check(params: Mapping[str, Any], around: Surroundings, inputs: Mapping[str, Any], summary: Any) -> None:
    """Runs the checks for params.yaml, parsed, and lists them in `summary`; UserError if one fails.

    `inputs` are those of the pipeline run, which become parameters of its run in MLflow.
    """
    results = run_checks(params, around)
    with tracked(summary, inputs) as tracked_run:
        write_summary(summary, markdown.findings(results))
        if tracked_run is not None:
            from sense import tracking

            tracking.tag_pipeline_run({}, inputs)
        require_all(results)


def describe(stage: str, metrics: Mapping[str, Any], artifact: Any, summary: Any) -> None:
    """Writes the metrics and the cost of a stage where the Kubeflow page shows them, if there are such artifacts."""
    if artifact is not None:
        artifact.metadata.update(finite_numbers(metrics) | costs.numbers(stage, Path(artifact.path)))
    if summary is not None:
        write_summary(summary, markdown.summary(stage, metrics))


def write_summary(summary: Any, text: str) -> None:
    """Writes the Markdown that the Kubeflow page shows, with a link to the task's run in MLflow."""
    run_id, url = summary.metadata.get("mlflow_run_id"), summary.metadata.get("mlflow_run_url")
    link = f"[{run_id}]({url})" if url else run_id
    Path(summary.path).write_text(f"{text}\nMLflow run: {link}\n" if run_id else text, encoding="utf-8")


@contextmanager
def tracked(
    note: Any, params: Mapping[str, Any] | None = None, revisions: Mapping[str, str] | None = None, part: str = ""
) -> Iterator[Any]:
    """The task's run in MLflow, open within the block, or None: outside of a pipeline, and where MLflow does not answer.

    The metadata of the artifact `note` name the run. What cannot be logged does not end a task that needs no MLflow itself.
    """
    if config.pipeline_task() is None:
        yield None
        return
    from sense import tracking

    tags = {f"sense.{name}": value for name, value in (revisions or {}).items()}
    stack = ExitStack()
    try:
        tracked_run: Any = stack.enter_context(tracking.task_run(params or {}, tags, part))
        link = tracking.link(tracked_run.id)
    except EndpointError as error:
        console.say(f"{error}\nthe task goes on without a run in MLflow")
        yield None
        return
    console.say(f"MLflow run: {link.url or link.run_id}")
    note.metadata.update({f"mlflow_{name}": value for name, value in asdict(link).items() if value})
    try:
        yield tracked_run
    except BaseException as error:
        with suppress(EndpointError):  # what has ended the task says more
            stack.__exit__(type(error), error, error.__traceback__)
        raise
    _log_or_say(stack.close)


def finish(tracked_run: Any, metrics: Mapping[str, Any]) -> None:
    """Ends the run of `tracked` with the metrics, unless there is none or the stage has ended it itself."""

    def end() -> None:
        if tracked_run is not None and not tracked_run.has_ended():
            tracked_run.finish(metrics)

    _log_or_say(end)


def _log_or_say(log: Callable[[], None]) -> None:
    try:
        log()
    except EndpointError as error:
        console.say(f"{error}\nthe task has ended well; its run in MLflow is not whole")
