"""Weak data: one shard of the questions, sampled and executed."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def sample(
    section: dict,
    code_rev: str,
    data_rev: str,
    shard: int,
    shards: int,
    model: dsl.Input[dsl.Model],
    unseen: dsl.Input[dsl.Dataset],
    samples: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
):
    """Runs the stage sample on shard `shard` of `shards`."""
    from pathlib import Path

    from sense.cost import record
    from sense.kubeflow import stage_task

    inputs = {"model": model, "unseen": unseen}
    outputs = {"samples": samples, "metrics": metrics}
    revisions = {"code_digest": code_rev, "data_rev": data_rev}
    stage_task.run("sample", section | {"shard": {"number": shard, "of": shards}}, inputs, outputs, summary, revisions)
    samples.metadata.update(record.numbers("sample", Path(metrics.path)))  # for merge, which adds the shards up
