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
    from pathlib import Path

    from sense.cost import record as costs
    from sense.records import finite_numbers
    from sense.report import markdown
    from sense.stages import execute

    inputs = {
        "sense": sense.path,
        "evaluation": evaluation.path,
        "predictions": predictions.path,
        "dev": dev.path,
        "heldout": heldout.path,
        "strong": strong.path,
        "samples": samples.path,
        "pairs": pairs.path,
    }
    outputs = {"record": record.path, "metrics": metrics.path}
    stage_metrics = execute("publish", section | {"promote": promote}, inputs, outputs)
    metrics.metadata.update(finite_numbers(stage_metrics) | costs.numbers("publish", Path(metrics.path)))
    Path(summary.path).write_text(markdown.summary("publish", stage_metrics))
