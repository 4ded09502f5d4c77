"""A pipeline sent to a Kubeflow Pipelines server, as a version of it, and a run of that version."""

import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from sense import console
from sense.config import environment
from sense.errors import EndpointError, UserError

_PIPELINE = "sense"
_DONE = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


class Run(NamedTuple):
    """A run on the server, and where a person sees it."""

    id: str
    link: str


def submit(host: str, file: Path, version: str, experiment: str, name: str, namespace: str | None = None) -> Run:
    """Uploads the compiled pipeline `file` as `version`, unless it is there already, and starts a run `name` of it.

    A token, where the server wants one, comes from KFP_TOKEN. EndpointError if the server cannot be reached or refuses.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # KFP's own deprecations
        try:
            client = _client(host, namespace)
            pipeline, uploaded = _version(client, file, version)
            in_experiment = client.create_experiment(experiment, namespace=namespace).experiment_id
            started = client.run_pipeline(in_experiment, name, pipeline_id=pipeline, version_id=uploaded, enable_caching=None)
        except Exception as error:  # KFP's client raises whatever its layers raise, urllib3's and its own
            raise EndpointError(
                f"Kubeflow Pipelines ({host}): {str(error).strip().splitlines()[0]}; check --host, KFP_TOKEN and that the "
                "server runs, then submit again"
            ) from None
    return Run(started.run_id, f"{host.rstrip('/')}/#/runs/details/{started.run_id}")


def wait(host: str, run: Run, namespace: str | None = None, every_s: float = 10.0) -> None:
    """Waits until the run has ended, telling its state; UserError unless it succeeded."""
    client, state = _client(host, namespace), ""
    while state not in _DONE:
        found = str(client.get_run(run.id).state or "PENDING")
        if found != state:
            console.say(f"{run.id}: {found.lower()}")
            state = found
        if state not in _DONE:
            time.sleep(every_s)
    if state != "SUCCEEDED":
        raise UserError(f"the run {run.id} ended as {state.lower()}; its tasks and logs: {run.link}")


def _client(host: str, namespace: str | None) -> Any:
    import kfp

    return kfp.Client(host=host, namespace=namespace or "kubeflow", existing_token=environment("KFP_TOKEN") or None)


def _version(client: Any, file: Path, version: str) -> tuple[str, str]:
    """The ids of the pipeline and of its version, uploaded where they are missing."""
    pipeline = client.get_pipeline_id(_PIPELINE)
    if pipeline is None:
        pipeline = client.upload_pipeline(str(file), pipeline_name=_PIPELINE).pipeline_id
    versions = client.list_pipeline_versions(pipeline, page_size=100, sort_by="created_at desc").pipeline_versions or []
    known = next((found for found in versions if found.display_name == version), None)
    found = known or client.upload_pipeline_version(str(file), pipeline_version_name=version, pipeline_id=pipeline)
    return pipeline, found.pipeline_version_id
