"""Checks before GPU hours are spent: parameters, MLflow, the data remote, GPUs, disk."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def check(params: str, gpus: int, disk_gb: float, remote: str, summary: dsl.Output[dsl.Markdown]):
    """Fails with all that is wrong; `params` is the text of params.yaml, `summary` lists the checks."""
    from pathlib import Path

    from sense import config
    from sense.kubeflow import preflight
    from sense.report import markdown

    results = preflight.run_checks(config.parse(params, "params.yaml"), gpus, disk_gb, remote)
    Path(summary.path).write_text(markdown.findings(results))
    preflight.require_all(results)
