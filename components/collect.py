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
):
    """Puts metrics and curves into one folder."""
    from pathlib import Path

    from sense.kubeflow.task_files import collect_metrics

    files = {
        "ingest": Path(ingest.path),
        "synthesize": Path(synthesize.path),
        "sft": Path(sft.path),
        "weak": Path(weak.path),
        "sample": Path(sample.path),
        "prefer": Path(prefer.path),
        "dpo": Path(dpo.path),
        "evaluate": Path(evaluate.path),
    }
    curves = {"sft": Path(sft_curve.path), "weak": Path(weak_curve.path), "dpo": Path(dpo_curve.path)}
    collect_metrics(files, curves, Path(metrics.path))
