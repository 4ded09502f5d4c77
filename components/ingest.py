"""Human-written questions: checked, executed, split by database."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def ingest(
    section: dict,
    code_rev: str,
    data_rev: str,
    seeds: dsl.Input[dsl.Dataset],
    seed: dsl.Output[dsl.Dataset],
    dev: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
):
    """Runs the stage ingest; `summary` shows what was dropped and why."""
    from pathlib import Path

    from sense.cost import record
    from sense.records import finite_numbers
    from sense.report import markdown
    from sense.stages import execute

    inputs = {"seeds": seeds.path}
    outputs = {"seed": seed.path, "dev": dev.path, "metrics": metrics.path}
    stage_metrics = execute("ingest", section, inputs, outputs)
    metrics.metadata.update(finite_numbers(stage_metrics) | record.numbers("ingest", Path(metrics.path)))
    Path(summary.path).write_text(markdown.summary("ingest", stage_metrics))
