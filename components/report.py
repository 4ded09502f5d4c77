"""The HTML report of the run."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def report(
    section: dict,
    code_rev: str,
    data_rev: str,
    metrics: dsl.Input[dsl.Dataset],
    strong: dsl.Input[dsl.Dataset],
    unseen: dsl.Input[dsl.Dataset],
    samples: dsl.Input[dsl.Dataset],
    pairs: dsl.Input[dsl.Dataset],
    dev: dsl.Input[dsl.Dataset],
    heldout: dsl.Input[dsl.Dataset],
    predictions: dsl.Input[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
):
    """Runs the stage report."""
    from sense.kubeflow import stage_task

    inputs = {"metrics": metrics, "strong": strong, "unseen": unseen, "samples": samples, "pairs": pairs}
    inputs |= {"dev": dev, "heldout": heldout, "predictions": predictions}
    stage_task.run("report", section, inputs, {"report": report}, None, {"code_digest": code_rev, "data_rev": data_rev})
