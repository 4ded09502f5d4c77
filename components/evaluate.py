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
    from pathlib import Path

    from sense.cost import record
    from sense.records import finite_numbers
    from sense.report import markdown
    from sense.stages import execute

    inputs = {"sft": sft.path, "sense": sense.path, "dev": dev.path, "heldout": heldout.path}
    inputs |= {"strong": strong.path, "unseen": unseen.path, "seed": seed.path, "decontamination": decontamination.path}
    outputs = {"predictions": predictions.path, "metrics": metrics.path}
    stage_metrics = execute("evaluate", section, inputs, outputs)
    metrics.metadata.update(finite_numbers(stage_metrics) | record.numbers("evaluate", Path(metrics.path)))
    Path(summary.path).write_text(markdown.summary("evaluate", stage_metrics))
