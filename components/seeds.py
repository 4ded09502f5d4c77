"""The human-written seeds (a revision of the data remote, a folder, or the built-in set), and copies of one's own databases."""

from kfp import dsl


@dsl.component(base_image="sense-train:dev", install_kfp_package=False)
def seeds(
    remote: str,
    revision: str,
    folder: str,
    own_revisions: list,
    own_folders: list,
    data_rev: str,
    seeds: dsl.Output[dsl.Dataset],
    own: dsl.Output[dsl.Dataset],
):
    """Fetches `revision` from the DVC remote; without one, takes `folder`. Likewise `own_revisions` and `own_folders`."""
    from pathlib import Path

    from sense.kubeflow import stage_task
    from sense.kubeflow.task_files import fetch_own, fetch_seeds

    with stage_task.tracked(seeds, {"revision": revision, "own": own_revisions}, {"data_rev": data_rev}):
        fetch_seeds(remote, revision, folder, Path(seeds.path))
        fetch_own(remote, own_revisions, own_folders, Path(own.path))
