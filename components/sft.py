"""Fine-tunes one model: the student, or with its section the weak model."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def sft(
    section: dict,
    code_rev: str,
    data_rev: str,
    gpus: int,
    job: str,
    strong: dsl.Input[dsl.Dataset],
    seed: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    curve: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
):
    """Runs the stage sft on the task's `gpus`, or on the nodes of the TrainJob that `job` describes.

    The base model comes from the claim of weights or the hub.
    """
    from sense.kubeflow import stage_task

    inputs = {"strong": strong, "seed": seed}
    outputs = {"model": model, "curve": curve, "metrics": metrics}
    revisions = {"code_digest": code_rev, "data_rev": data_rev}
    stage_task.run("sft", section, inputs, outputs, summary, revisions, gpus, job)
