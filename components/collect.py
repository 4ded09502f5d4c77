"""The metrics of all stages in one folder, as the report reads them."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def collect(
    ingest: dsl.Input[dsl.Metrics],
    synthesize: dsl.Input[dsl.Metrics],
    sft: dsl.Input[dsl.Metrics],
    weak: dsl.Input[dsl.Metrics],
    sample: dsl.Input[dsl.Metrics],
    prefer: dsl.Input[dsl.Metrics],
    dpo: dsl.Input[dsl.Metrics],
    evaluate: dsl.Input[dsl.Metrics],
    sft_curve: dsl.Input[dsl.Artifact],
    weak_curve: dsl.Input[dsl.Artifact],
    dpo_curve: dsl.Input[dsl.Artifact],
    metrics: dsl.Output[dsl.Dataset],
    summary: dsl.Output[dsl.Markdown],
):
    """Puts metrics and curves into one folder; `summary` shows what the tasks have cost."""
    from pathlib import Path

    from sense.kubeflow import stage_task
    from sense.kubeflow.task_files import collect_metrics
    from sense.records import read_json
    from sense.report import costs

    artifacts = {"ingest": ingest, "synthesize": synthesize, "sft": sft, "weak": weak}
    artifacts |= {"sample": sample, "prefer": prefer, "dpo": dpo, "evaluate": evaluate}
    files = {name: Path(artifact.path) for name, artifact in artifacts.items()}
    curves = {"sft": Path(sft_curve.path), "weak": Path(weak_curve.path), "dpo": Path(dpo_curve.path)}
    numbers = {name: artifact.metadata for name, artifact in artifacts.items()}
    with stage_task.tracked(summary):
        collect_metrics(files, curves, Path(metrics.path))
        text = costs.markdown(costs.from_numbers(numbers, read_json(files["evaluate"])))
        stage_task.write_summary(summary, text)
