"""Fine-tunes one model: the student, or with its section the weak model."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def sft(
    section: dict,
    code_rev: str,
    data_rev: str,
    processes: int,
    job: str,
    strong: dsl.Input[dsl.Dataset],
    seed: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    curve: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
):
    """Runs the stage sft on `processes` GPUs, or on the nodes of the TrainJob that `job` describes.

    The base model comes from the claim of weights or the hub.
    """
    from pathlib import Path

    from sense.cost import record
    from sense.kubeflow.launch import launch
    from sense.records import finite_numbers
    from sense.report import markdown

    inputs = {"strong": strong.path, "seed": seed.path}
    outputs = {"model": model.path, "curve": curve.path, "metrics": metrics.path}
    stage_metrics = launch("sft", section, inputs, outputs, processes, job)
    metrics.metadata.update(finite_numbers(stage_metrics) | record.numbers("sft", Path(metrics.path)))
    Path(summary.path).write_text(markdown.summary("sft", stage_metrics))
