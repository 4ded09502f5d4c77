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

    from sense.kubeflow import stage_task
    from sense.kubeflow.task_files import place_own

    inputs = {"seed": seed, "dev": dev}
    outputs = {"strong": strong, "unseen": unseen, "heldout": heldout, "decontamination": decontamination, "metrics": metrics}
    revisions = {"code_digest": code_rev, "data_rev": data_rev}
    stage_task.run("synthesize", place_own(section, Path(own.path)), inputs, outputs, summary, revisions)
