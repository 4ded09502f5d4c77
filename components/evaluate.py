"""Execution accuracy of base, SFT and SENSE."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def evaluate(
    section: dict,
    code_rev: str,
    data_rev: str,
    sft: dsl.Input[dsl.Model],
    sense: dsl.Input[dsl.Model],
    dev: dsl.Input[dsl.Dataset],
    heldout: dsl.Input[dsl.Dataset],
    strong: dsl.Input[dsl.Dataset],
    unseen: dsl.Input[dsl.Dataset],
    seed: dsl.Input[dsl.Dataset],
    decontamination: dsl.Input[dsl.Dataset],
    predictions: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
):
    """Runs the stage evaluate; `summary` is the results table."""
    from sense.kubeflow import stage_task

    inputs = {
        "sft": sft,
        "sense": sense,
        "dev": dev,
        "heldout": heldout,
        "strong": strong,
        "unseen": unseen,
        "seed": seed,
        "decontamination": decontamination,
    }
    outputs = {"predictions": predictions, "metrics": metrics}
    revisions = {"code_digest": code_rev, "data_rev": data_rev}
    stage_task.run("evaluate", section, inputs, outputs, summary, revisions)
