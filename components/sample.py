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
    from sense.records import finite_numbers
    from sense.report import markdown
    from sense.stages import execute

    inputs = {"model": model.path, "unseen": unseen.path}
    outputs = {"samples": samples.path, "metrics": metrics.path}
    stage_metrics = execute("sample", section | {"shard": {"number": shard, "of": shards}}, inputs, outputs)
    metrics.metadata.update(finite_numbers(stage_metrics) | record.numbers("sample", Path(metrics.path)))
    samples.metadata.update(record.numbers("sample", Path(metrics.path)))  # for merge, which adds the shards up
    Path(summary.path).write_text(markdown.summary("sample", stage_metrics))
