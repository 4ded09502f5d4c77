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
    from sense.kubeflow import stage_task

    inputs = {"samples": samples, "unseen": unseen}
    outputs = {"pairs": pairs, "metrics": metrics}
    revisions = {"code_digest": code_rev, "data_rev": data_rev}
    stage_task.run("prefer", section, inputs, outputs, summary, revisions)
