"""The second step on the SFT model: the SENSE model."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def dpo(
    section: dict,
    code_rev: str,
    data_rev: str,
    gpus: int,
    job: str,
    sft: dsl.Input[dsl.Model],
    pairs: dsl.Input[dsl.Dataset],
    samples: dsl.Input[dsl.Dataset],
    unseen: dsl.Input[dsl.Dataset],
    strong: dsl.Input[dsl.Dataset],
    seed: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    curve: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
):
    """Runs the stage dpo on the task's `gpus`, or on the nodes of the TrainJob that `job` describes."""
    from sense.kubeflow import stage_task

    inputs = {"sft": sft, "pairs": pairs, "samples": samples, "unseen": unseen, "strong": strong, "seed": seed}
    outputs = {"model": model, "curve": curve, "metrics": metrics}
    revisions = {"code_digest": code_rev, "data_rev": data_rev}
    stage_task.run("dpo", section, inputs, outputs, summary, revisions, gpus, job)
