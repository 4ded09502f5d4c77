"""Strong data: written by the teacher, executed, split by domain and database."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def synthesize(
    section: dict,
    code_rev: str,
    data_rev: str,
    seed: dsl.Input[dsl.Dataset],
    dev: dsl.Input[dsl.Dataset],
    own: dsl.Input[dsl.Dataset],
    strong: dsl.Output[dsl.Dataset],
    unseen: dsl.Output[dsl.Dataset],
    heldout: dsl.Output[dsl.Dataset],
    decontamination: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
):
    """Runs the stage synthesize, on the databases in `own` if there are any; `summary` shows the funnel and the hardness."""
    from pathlib import Path

    from sense.cost import record
    from sense.kubeflow.task_files import place_own
    from sense.records import finite_numbers
    from sense.report import markdown
    from sense.stages import execute

    inputs = {"seed": seed.path, "dev": dev.path}
    outputs = {"strong": strong.path, "unseen": unseen.path, "heldout": heldout.path}
    outputs |= {"decontamination": decontamination.path, "metrics": metrics.path}
    stage_metrics = execute("synthesize", place_own(section, Path(own.path)), inputs, outputs)
    metrics.metadata.update(finite_numbers(stage_metrics) | record.numbers("synthesize", Path(metrics.path)))
    Path(summary.path).write_text(markdown.summary("synthesize", stage_metrics))
