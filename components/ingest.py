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
    from sense.kubeflow import stage_task

    inputs = {"seeds": seeds}
    outputs = {"seed": seed, "dev": dev, "metrics": metrics}
    revisions = {"code_digest": code_rev, "data_rev": data_rev}
    stage_task.run("ingest", section, inputs, outputs, summary, revisions)
