"""The second step on the SFT model: the SENSE model."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def dpo(
    section: dict,
    code_rev: str,
    data_rev: str,
    processes: int,
    job: str,
    sft: dsl.Input[dsl.Model],
    pairs: dsl.Input[dsl.Dataset],
    samples: dsl.Input[dsl.Dataset],
    unseen: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    curve: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
):
    """Runs the stage dpo on `processes` GPUs, or on the nodes of the TrainJob that `job` describes."""
    from pathlib import Path

    from sense.cost import record
    from sense.kubeflow.launch import launch
    from sense.records import finite_numbers
    from sense.report import markdown

    inputs = {"sft": sft.path, "pairs": pairs.path, "samples": samples.path, "unseen": unseen.path}
    outputs = {"model": model.path, "curve": curve.path, "metrics": metrics.path}
    stage_metrics = launch("dpo", section, inputs, outputs, processes, job)
    metrics.metadata.update(finite_numbers(stage_metrics) | record.numbers("dpo", Path(metrics.path)))
    Path(summary.path).write_text(markdown.summary("dpo", stage_metrics))
