"""The gate: whether the model may become champion."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def gate(
    section: dict,
    code_rev: str,
    data_rev: str,
    evaluation: dsl.Input[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
) -> bool:
    """True if the registry's champion is not better on the same set; `summary` gives the reason."""
    from pathlib import Path

    from sense.kubeflow import stage_task
    from sense.report import markdown
    from sense.stages.publish import preview

    with stage_task.tracked(summary, section, {"code_digest": code_rev, "data_rev": data_rev}) as run:
        decision = preview(section, Path(evaluation.path))
        stage_task.write_summary(summary, markdown.decision(decision))
        stage_task.finish(run, {"promoted": int(decision.promoted)})
    return decision.promoted
