"""A compiled pipeline uploaded to a Kubeflow Pipelines server as a pipeline version, and a run of that version.

This uses KFP's generated API client and not `kfp.Client`, which prints links on stdout, follows redirects to login pages, and
retries a wrong token for half a minute with a traceback for each try.
"""

import json
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import kfp_server_api as rest
import urllib3
from urllib3.exceptions import HTTPError

from sense import console
from sense.config import environment, trusted_authorities
from sense.errors import EndpointError, InputError, UserError

_PIPELINE = "sense"
_DONE = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_TIMEOUT_S = 60
_MAX_TRIES = 30  # of `wait` on a server that does not answer: runs take days, servers are restarted
_LOGIN = "set KFP_TOKEN to a token that this server accepts"
_TRUST = "give the certificate of the authority that signed it by --ca-file or SSL_CERT_FILE,"
_FIXES = {
    400: "check --experiment and --namespace: a server with several users needs a namespace, one without refuses it",
    401: _LOGIN,
    403: f"{_LOGIN} and that may create pipelines and runs in --namespace",
    404: "check --host: it is the address before /apis/v2beta1, for instance https://kubeflow.example.com/pipeline",
    409: "another submit has just created the same",
}


class SubmittedRun(NamedTuple):
    """A run on the server, and the link to its page."""

    id: str
    link: str


@dataclass(frozen=True)
class RunSettings:
    """What a run of the pipeline is started with, beside the pipeline itself; empty texts leave it to the server.

    With a `cron` schedule (of six fields, the first one seconds) runs recur, one at a time; what was due while the server was
    down is skipped. `inputs` of the pipeline that are not named have their defaults.
    """

    name: str
    experiment: str = "sense"
    namespace: str | None = None
    service_account: str = ""
    pipeline_root: str = ""
    cron: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)


def submit(host: str, file: Path, version: str, settings: RunSettings, ca_file: Path | None = None) -> SubmittedRun:
    """Uploads the compiled pipeline `file` as `version`, unless it is there already, and starts a run of it, or a recurring run.

    A token, where the server wants one, comes from KFP_TOKEN. `ca_file` holds the certificates to trust in place of the public
    ones. EndpointError if the server cannot be reached or refuses.
    """
    with _client(host, ca_file) as client:  # the experiment first: a wrong namespace shows before anything is uploaded
        experiment_id = _experiment(client, settings.experiment, settings.namespace)
        pipeline = _pipeline(client, settings.namespace)
        common = {
            "display_name": settings.name,
            "experiment_id": experiment_id,
            "pipeline_version_reference": rest.V2beta1PipelineVersionReference(
                pipeline, _version(client, pipeline, file, version)
            ),
            "runtime_config": rest.V2beta1RuntimeConfig(
                parameters=dict(settings.inputs), pipeline_root=settings.pipeline_root or None
            ),
            "service_account": settings.service_account or None,
        }
        if settings.cron:
            return _start_recurring(client, host, settings, common)
        run = rest.V2beta1Run(**common)
        id = _require_id(rest.RunServiceApi(client).run_service_create_run(run, _request_timeout=_TIMEOUT_S).run_id)
    return SubmittedRun(id, f"{host.rstrip('/')}/#/runs/details/{id}")


def _start_recurring(client: Any, host: str, settings: RunSettings, common: Mapping[str, Any]) -> SubmittedRun:
    recurring_run = rest.V2beta1RecurringRun(
        **common,
        namespace=settings.namespace,
        trigger=rest.V2beta1Trigger(cron_schedule=rest.V2beta1CronSchedule(cron=settings.cron)),
        max_concurrency="1",
        mode=rest.RecurringRunMode.ENABLE,
        no_catchup=True,
    )
    api = rest.RecurringRunServiceApi(client)
    response = api.recurring_run_service_create_recurring_run(recurring_run, _request_timeout=_TIMEOUT_S)
    id = _require_id(response.recurring_run_id)
    return SubmittedRun(id, f"{host.rstrip('/')}/#/recurringrun/details/{id}")


def wait(host: str, run: SubmittedRun, every_s: float = 10.0, ca_file: Path | None = None, retries: int = 0) -> None:
    """Waits until the run has ended, and prints its state when it changes; UserError unless it succeeded.

    A run that failed is retried up to `retries` times: its tasks that failed, or lost their pods, start again and resume. A
    server that does not answer is asked again for a while; EndpointError if it still does not, or refuses.
    """
    state = ""
    with _client(host, ca_file, f"the run itself goes on: {run.link}") as client:
        while state not in _DONE:
            if state:
                time.sleep(every_s)
            new_state = _state(client, run.id, every_s)
            if new_state != state:
                console.say(f"{run.id}: {new_state.lower()}")
            if new_state == "FAILED" and retries:
                retries -= 1
                rest.RunServiceApi(client).run_service_retry_run(run.id, _request_timeout=_TIMEOUT_S)
                console.say(f"{run.id}: retried; {retries} more {'try' if retries == 1 else 'tries'}")
                new_state = "RETRIED"
            state = new_state
    if state != "SUCCEEDED":
        raise UserError(f"the run {run.id} ended as {state.lower()}; its tasks and logs: {run.link}")


def _state(client: Any, id: str, every_s: float) -> str:
    tries_left = _MAX_TRIES
    while True:
        try:
            run = rest.RunServiceApi(client).run_service_get_run(id, _request_timeout=_TIMEOUT_S)
            _require_id(run.run_id)
            return str(run.state or "PENDING")
        except (rest.ApiException, HTTPError) as error:
            tries_left -= 1
            if not tries_left or getattr(error, "status", 500) < 500:
                raise
        if tries_left == _MAX_TRIES - 1:
            console.say(f"{id}: no answer from the server, asking again")
        time.sleep(every_s)


def _experiment(client: Any, name: str, namespace: str | None) -> str:
    api = rest.ExperimentServiceApi(client)
    options = {"namespace": namespace, "_request_timeout": _TIMEOUT_S}
    for experiment in api.experiment_service_list_experiments(filter=_name_filter(name), **options).experiments or []:
        return _require_id(experiment.experiment_id)
    new_experiment = rest.V2beta1Experiment(display_name=name, namespace=namespace)
    return _require_id(api.experiment_service_create_experiment(new_experiment, _request_timeout=_TIMEOUT_S).experiment_id)


def _pipeline(client: Any, namespace: str | None) -> str:
    """The id of the pipeline; created empty, as uploading a file under its name would make a version of that name too."""
    api = rest.PipelineServiceApi(client)
    options = {"namespace": namespace, "_request_timeout": _TIMEOUT_S}
    for pipeline in api.pipeline_service_list_pipelines(filter=_name_filter(_PIPELINE), **options).pipelines or []:
        return _require_id(pipeline.pipeline_id)
    new_pipeline = rest.V2beta1Pipeline(display_name=_PIPELINE, namespace=namespace)
    return _require_id(api.pipeline_service_create_pipeline(new_pipeline, _request_timeout=_TIMEOUT_S).pipeline_id)


def _version(client: Any, pipeline: str, file: Path, name: str) -> str:
    api = rest.PipelineServiceApi(client)
    response = api.pipeline_service_list_pipeline_versions(pipeline, filter=_name_filter(name), _request_timeout=_TIMEOUT_S)
    for pipeline_version in response.pipeline_versions or []:
        return _require_id(pipeline_version.pipeline_version_id)
    upload = rest.PipelineUploadServiceApi(client).upload_pipeline_version
    return _require_id(upload(str(file), name=name, pipelineid=pipeline, _request_timeout=_TIMEOUT_S).pipeline_version_id)


def _name_filter(name: str) -> str:
    """KFP's filter for objects of that name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": name}]})


def _require_id(id: str | None) -> str:
    """The id in a response; ApiException without one: the client reads the page of a proxy as an object without an id."""
    if not id:
        raise rest.ApiException(404, "the answer is not that of a Kubeflow Pipelines API")
    return id


@contextmanager
def _client(host: str, ca_file: Path | None, next_step: str = "then submit again") -> Iterator[Any]:
    """A client of the server; its errors become an EndpointError with the problem and the fix, and never with the token."""
    if not host.startswith(("http://", "https://")):
        raise UserError(f"--host {host}: write it with its scheme, for instance http://localhost:8080")
    token = environment("KFP_TOKEN").strip()
    if not (token.isascii() and token.isprintable()):
        raise UserError("KFP_TOKEN: it has line breaks or characters that no HTTP header may hold; set it to the token alone")
    settings = rest.Configuration(host=host.rstrip("/"))
    authorities = _authorities(ca_file)
    if authorities is not None and authorities.is_file():
        settings.ssl_ca_cert = str(authorities)
    if token:
        settings.api_key, settings.api_key_prefix = {"authorization": token}, {"authorization": "Bearer"}
    settings.retries = urllib3.Retry(0, raise_on_redirect=False)  # a redirect to a login page is to be reported
    client = rest.ApiClient(settings)
    if authorities is not None and authorities.is_dir():  # KFP's client knows files alone
        client.rest_client.pool_manager.connection_pool_kw |= {"ca_certs": None, "ca_cert_dir": str(authorities)}
    try:
        yield client
    except (rest.ApiException, HTTPError) as error:
        problem, fix = _problem_and_fix(error)
        problem = problem.replace(token, "***") if token else problem
        raise EndpointError(f"Kubeflow Pipelines ({host}): {problem}; {fix}; {next_step}") from None
    finally:
        client.rest_client.pool_manager.clear()


def _authorities(ca_file: Path | None) -> Path | None:
    """The certificates to trust in place of the public ones; InputError if there are none where the user says.

    KFP's client looks at no environment variable, so those that other clients of HTTP obey are read here.
    """
    path = ca_file or (Path(trusted_authorities()) if trusted_authorities() else None)
    if path is None or path.is_dir():
        return path
    source = "--ca-file" if ca_file else "SSL_CERT_FILE or REQUESTS_CA_BUNDLE"
    try:
        ssl.create_default_context(cafile=str(path))
    except (ssl.SSLError, OSError) as error:
        reason = "no certificate in it" if isinstance(error, ssl.SSLError) else str(error.strerror)
        raise InputError(f"{source} {path}: {reason}; give a file of certificates in the PEM format") from None
    return path


def _problem_and_fix(error: Exception) -> tuple[str, str]:
    """The problem that the server or the connection reports, and what to do about it."""
    if isinstance(error, HTTPError):
        cause = getattr(error, "reason", error)
        if "CERTIFICATE_VERIFY_FAILED" in str(cause):
            return (
                "its certificate is not that of an authority trusted here",
                f"{_TRUST} or, if it is for another host, check --host",
            )
        reason = str(cause).rstrip(".")
        return reason, "check --host and that the server runs and can be reached from here"
    status = getattr(error, "status", 0)
    if 300 <= status < 400:
        return f"{status}, a redirect, as to a login page", f"{_LOGIN}, or --host to the address it redirects to"
    lines = _message(getattr(error, "body", "") or "").strip().splitlines()
    problem = f"{status} {getattr(error, 'reason', '')}" + (f", {lines[0][:300]}" if lines else "")
    return problem, _FIXES.get(status, "its own log says why (kubectl logs deployment/ml-pipeline)")


def _message(body: str) -> str:
    """The message in the body of an error, of the API or of its uploads; empty for the page of a proxy."""
    try:
        value = json.loads(body)
    except ValueError:
        return ""
    message = (value.get("message") or value.get("error_message") or value.get("error")) if isinstance(value, dict) else ""
    return str(message or "")
