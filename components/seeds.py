"""The human-written seeds: a revision of the data remote, a folder, or the built-in set."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def seeds(
    remote: str,
    revision: str,
    folder: str,
    data_rev: str,
    seeds: dsl.Output[dsl.Dataset],
):
    """Fetches `revision` from the DVC remote; without one, takes `folder`."""
    from pathlib import Path

    from sense.kubeflow.task_files import fetch_seeds

    fetch_seeds(remote, revision, folder, Path(seeds.path))
