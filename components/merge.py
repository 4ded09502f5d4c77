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
    from sense.kubeflow import stage_task
    from sense.records import write_json
    from sense.stages.sample import merge

    with stage_task.tracked(summary, None, {"code_digest": code_rev, "data_rev": data_rev}) as run:
        stage_metrics = merge(section, Path(unseen.path), [Path(part.path) for part in parts], Path(samples.path))
        write_json(Path(metrics.path), stage_metrics)
        record.write_sum("sample", Path(metrics.path), [part.metadata for part in parts])
        stage_task.describe("sample", stage_metrics, metrics, summary)
        stage_task.finish(run, stage_metrics)
