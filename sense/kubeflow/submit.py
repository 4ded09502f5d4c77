"""A pipeline sent to a Kubeflow Pipelines server, as a version of it, and a run of that version.

It speaks to the server with KFP's generated API client, not with `kfp.Client`: that one prints links on stdout, follows
redirects to login pages, and meets a wrong token with half a minute of attempts and a traceback for each.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import kfp_server_api as rest
import urllib3
from urllib3.exceptions import HTTPError

from sense import console
from sense.config import environment
from sense.errors import EndpointError, UserError

_PIPELINE = "sense"
_DONE = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_TIMEOUT_S = 60
_PATIENCE = 30  # times that `wait` asks a server that is down: runs take days, servers are restarted
_LOGIN = "set KFP_TOKEN to a token that this server accepts"
_FIXES = {
    400: "check --experiment and --namespace: a server with several users needs a namespace, one without refuses it",
    401: _LOGIN,
    403: f"{_LOGIN} and that may create pipelines and runs in --namespace",
    404: "check --host: it is the address before /apis/v2beta1, for instance https://kubeflow.example.com/pipeline",
    409: "another submit has just created the same",
}


class Run(NamedTuple):
    """A run on the server, and where a person sees it."""

    id: str
    link: str


def submit(host: str, file: Path, version: str, experiment: str, name: str, namespace: str | None = None) -> Run:
    """Uploads the compiled pipeline `file` as `version`, unless it is there already, and starts a run `name` of it.

    A token, where the server wants one, comes from KFP_TOKEN. EndpointError if the server cannot be reached or refuses.
    """
    with _client(host) as client:  # the experiment first: a namespace that is wrong shows before anything is uploaded
        inside = _experiment(client, experiment, namespace)
        pipeline = _pipeline(client, namespace)
        run = rest.V2beta1Run(
            display_name=name,
            experiment_id=inside,
            pipeline_version_reference=rest.V2beta1PipelineVersionReference(pipeline, _version(client, pipeline, file, version)),
            runtime_config=rest.V2beta1RuntimeConfig(parameters={}),
        )
        id = _told(rest.RunServiceApi(client).run_service_create_run(run, _request_timeout=_TIMEOUT_S).run_id)
    return Run(id, f"{host.rstrip('/')}/#/runs/details/{id}")


def wait(host: str, run: Run, every_s: float = 10.0) -> None:
    """Waits until the run has ended, telling its state; UserError unless it succeeded.

    A server that does not answer is asked again for a while; EndpointError if it stays so, or refuses.
    """
    state = ""
    with _client(host, f"the run itself goes on: {run.link}") as client:
        while state not in _DONE:
            if state:
                time.sleep(every_s)
            found = _state(client, run.id, every_s)
            if found != state:
                console.say(f"{run.id}: {found.lower()}")
            state = found
    if state != "SUCCEEDED":
        raise UserError(f"the run {run.id} ended as {state.lower()}; its tasks and logs: {run.link}")


def _state(client: Any, id: str, every_s: float) -> str:
    left = _PATIENCE
    while True:
        try:
            found = rest.RunServiceApi(client).run_service_get_run(id, _request_timeout=_TIMEOUT_S)
            _told(found.run_id)
            return str(found.state or "PENDING")
        except (rest.ApiException, HTTPError) as error:
            left -= 1
            if not left or getattr(error, "status", 500) < 500:
                raise
        if left == _PATIENCE - 1:
            console.say(f"{id}: no answer from the server, asking again")
        time.sleep(every_s)


def _experiment(client: Any, name: str, namespace: str | None) -> str:
    api = rest.ExperimentServiceApi(client)
    options = {"namespace": namespace, "_request_timeout": _TIMEOUT_S}
    for known in api.experiment_service_list_experiments(filter=_called(name), **options).experiments or []:
        return _told(known.experiment_id)
    wanted = rest.V2beta1Experiment(display_name=name, namespace=namespace)
    return _told(api.experiment_service_create_experiment(wanted, _request_timeout=_TIMEOUT_S).experiment_id)


def _pipeline(client: Any, namespace: str | None) -> str:
    """The id of the pipeline; created empty, as uploading a file under its name would make a version of that name too."""
    api = rest.PipelineServiceApi(client)
    options = {"namespace": namespace, "_request_timeout": _TIMEOUT_S}
    for known in api.pipeline_service_list_pipelines(filter=_called(_PIPELINE), **options).pipelines or []:
        return _told(known.pipeline_id)
    wanted = rest.V2beta1Pipeline(display_name=_PIPELINE, namespace=namespace)
    return _told(api.pipeline_service_create_pipeline(wanted, _request_timeout=_TIMEOUT_S).pipeline_id)


def _version(client: Any, pipeline: str, file: Path, name: str) -> str:
    api = rest.PipelineServiceApi(client)
    listed = api.pipeline_service_list_pipeline_versions(pipeline, filter=_called(name), _request_timeout=_TIMEOUT_S)
    for known in listed.pipeline_versions or []:
        return _told(known.pipeline_version_id)
    upload = rest.PipelineUploadServiceApi(client).upload_pipeline_version
    return _told(upload(str(file), name=name, pipelineid=pipeline, _request_timeout=_TIMEOUT_S).pipeline_version_id)


def _called(name: str) -> str:
    """KFP's filter for things of that name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": name}]})


def _told(id: str | None) -> str:
    """An id that the server has answered; a page that is no API's is read as an object without one."""
    if not id:
        raise rest.ApiException(404, "the answer is not that of a Kubeflow Pipelines API")
    return id


@contextmanager
def _client(host: str, besides: str = "then submit again") -> Iterator[Any]:
    """A client of the server; its errors are told as what is wrong and the fix, never with the token."""
    if not host.startswith(("http://", "https://")):
        raise UserError(f"--host {host}: write it with its scheme, for instance http://localhost:8080")
    token = environment("KFP_TOKEN").strip()
    if not (token.isascii() and token.isprintable()):
        raise UserError("KFP_TOKEN: it has line breaks or characters that no HTTP header may hold; set it to the token alone")
    settings = rest.Configuration(host=host.rstrip("/"))
    if token:
        settings.api_key, settings.api_key_prefix = {"authorization": token}, {"authorization": "Bearer"}
    settings.retries = urllib3.Retry(0, raise_on_redirect=False)  # a redirect, to a login page, is an answer to tell
    client = rest.ApiClient(settings)
    try:
        yield client
    except (rest.ApiException, HTTPError) as error:
        what, fix = _explained(error)
        hidden = what.replace(token, "***") if token else what
        raise EndpointError(f"Kubeflow Pipelines ({host}): {hidden}; {fix}; {besides}") from None
    finally:
        client.rest_client.pool_manager.clear()


def _explained(error: Exception) -> tuple[str, str]:
    """What the server or the way to it says, and what to do about it."""
    if isinstance(error, HTTPError):
        said = str(getattr(error, "reason", error)).rstrip(".")
        return said, "check --host and that the server runs and can be reached from here"
    status = getattr(error, "status", 0)
    if 300 <= status < 400:
        return f"{status}, a redirect, as to a login page", f"{_LOGIN}, or --host to the address it redirects to"
    lines = _message(getattr(error, "body", "") or "").strip().splitlines()
    what = f"{status} {getattr(error, 'reason', '')}" + (f", {lines[0][:300]}" if lines else "")
    return what, _FIXES.get(status, "its own log says why (kubectl logs deployment/ml-pipeline)")


def _message(body: str) -> str:
    """The message in an error's body, of the API or of its uploads; nothing from the page of a proxy."""
    try:
        value = json.loads(body)
    except ValueError:
        return ""
    found = (value.get("message") or value.get("error_message") or value.get("error")) if isinstance(value, dict) else ""
    return str(found or "")
