"""The model becomes a version in the registry."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def publish(
    section: dict,
    code_rev: str,
    data_rev: str,
    promote: bool,
    sense: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Metrics],
    predictions: dsl.Input[dsl.Dataset],
    dev: dsl.Input[dsl.Dataset],
    heldout: dsl.Input[dsl.Dataset],
    strong: dsl.Input[dsl.Dataset],
    samples: dsl.Input[dsl.Dataset],
    pairs: dsl.Input[dsl.Dataset],
    record: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
):
    """Runs the stage publish; without `promote` the version is registered and champion stays. `record` names the version."""
    from sense import tracking
    from sense.kubeflow import stage_task

    inputs = {
        "sense": sense,
        "evaluation": evaluation,
        "predictions": predictions,
        "dev": dev,
        "heldout": heldout,
        "strong": strong,
        "samples": samples,
        "pairs": pairs,
    }
    outputs = {"record": record, "metrics": metrics}
    revisions = {"code_digest": code_rev, "data_rev": data_rev}
    published = stage_task.run("publish", section | {"promote": promote}, inputs, outputs, summary, revisions)
    tracking.tag_pipeline_run({"sense.version": f"models:/{published['model']}/{published['version']}"})
