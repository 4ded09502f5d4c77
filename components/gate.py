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

    from sense.report import markdown
    from sense.stages.publish import preview

    decision = preview(section, Path(evaluation.path))
    Path(summary.path).write_text(markdown.decision(decision))
    return decision.promoted
