"""Right and wrong samples become preference pairs."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def prefer(
    section: dict,
    code_rev: str,
    data_rev: str,
    samples: dsl.Input[dsl.Dataset],
    unseen: dsl.Input[dsl.Dataset],
    pairs: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
):
    """Runs the stage prefer; `summary` shows the funnel of pairs."""
    from pathlib import Path

    from sense.cost import record
    from sense.records import finite_numbers
    from sense.report import markdown
    from sense.stages import execute

    inputs = {"samples": samples.path, "unseen": unseen.path}
    outputs = {"pairs": pairs.path, "metrics": metrics.path}
    stage_metrics = execute("prefer", section, inputs, outputs)
    metrics.metadata.update(finite_numbers(stage_metrics) | record.numbers("prefer", Path(metrics.path)))
    Path(summary.path).write_text(markdown.summary("prefer", stage_metrics))
