"""The data of the run as a version: dvc.lock, and the data in the remote that it names."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def version(
    params: str,
    remote: str,
    project: str,
    code_rev: str,
    data_rev: str,
    seeds: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    seed: dsl.Input[dsl.Dataset],
    dev: dsl.Input[dsl.Dataset],
    strong: dsl.Input[dsl.Dataset],
    unseen: dsl.Input[dsl.Dataset],
    heldout: dsl.Input[dsl.Dataset],
    decontamination: dsl.Input[dsl.Dataset],
    samples: dsl.Input[dsl.Dataset],
    pairs: dsl.Input[dsl.Dataset],
    ingest_metrics: dsl.Input[dsl.Metrics],
    synthesize_metrics: dsl.Input[dsl.Metrics],
    sample_metrics: dsl.Input[dsl.Metrics],
    prefer_metrics: dsl.Input[dsl.Metrics],
    lock: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
):
    """Pushes the data and writes the dvc.lock that a working copy of the same revision takes over; logs it to MLflow.

    `project` is the folder with dvc.yaml where the task runs.
    """
    ports = locals()
    from pathlib import Path

    from sense import data_versions
    from sense.kubeflow import stage_task
    from sense.report import markdown

    artifacts = {name: Path(ports[name].path) for name in data_versions.ARTIFACTS}
    with stage_task.tracked(summary, None, {"code_digest": code_rev, "data_rev": data_rev}):
        digests = data_versions.commit(Path(project), remote, params, artifacts, Path(lock.path))
        lock.metadata.update(digests)
        lock.metadata["run_id"] = data_versions.record(digests, remote, Path(lock.path))
        stage_task.write_summary(summary, markdown.summary("version", digests))
