"""Joins the shards of the weak data."""

from typing import List  # noqa: UP035  (KFP reads this spelling alone)

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def merge(
    section: dict,
    code_rev: str,
    data_rev: str,
    unseen: dsl.Input[dsl.Dataset],
    parts: dsl.Input[List[dsl.Dataset]],
    samples: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
):
    """Joins the samples of all shards, in the order of the questions."""
    from pathlib import Path

    from sense.cost import record
    from sense.records import finite_numbers, write_json
    from sense.report import markdown
    from sense.stages.sample import merge

    stage_metrics = merge(section, Path(unseen.path), [Path(part.path) for part in parts], Path(samples.path))
    write_json(Path(metrics.path), stage_metrics)
    record.write_sum("sample", Path(metrics.path), [part.metadata for part in parts])
    metrics.metadata.update(finite_numbers(stage_metrics) | record.numbers("sample", Path(metrics.path)))
    Path(summary.path).write_text(markdown.summary("sample", stage_metrics))
