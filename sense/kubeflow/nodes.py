"""A training on several nodes: a task of the pipeline creates a TrainJob, waits for it, and takes its outputs.

The job's name comes from the run and from all that the training depends on. So a task that is tried again finds the job that its
last try has left, and waits for it. A task that fails or is cancelled deletes its job; the training's checkpoints stay, and the
next job goes on from them.
"""

import hashlib
import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sense import config, console, records
from sense.errors import EndpointError, SenseError, UserError, install
from sense.kubeflow.node import ERROR, ORDER, RESULT
from sense.kubeflow.train_job import GROUP, JOBS, RUNTIMES, VERSION

_POLL_S = 5.0
_PATIENCE_S = 600.0  # for an API server that does not answer: the job needs none of it
_DELETION_S = 20.0  # of the 30 that Kubernetes gives a pod to end
_RUN_LABEL = "pipeline/runid"  # as Kubeflow Pipelines labels the pods of a run
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_SIGTERM_CODE = 128 + signal.SIGTERM
_RIGHTS = [(verb, GROUP, plural) for plural in (JOBS, RUNTIMES) for verb in ("create", "get", "delete")]
_RIGHTS += [("list", "", "pods"), ("get", "", "pods/log")]
_TRANSIENT = (429, 500, 502, 503, 504)


def run(
    manifests: str, stage: str, section: Mapping[str, Any], inputs: Mapping[str, Path | str], outputs: Mapping[str, Path | str]
) -> dict[str, Any]:
    """Runs a training as the TrainJob that `manifests` (JSON, of sense.kubeflow.train_job) describes; returns its metrics.

    UserError for what the user can mend, EndpointError for a cluster that refuses; SystemExit if the task is cancelled (SIGTERM).
    """
    documents = json.loads(manifests)
    run_id = config.environment(config.PIPELINE_VARIABLES["run_id"])
    name = _name(stage, documents, section, inputs, run_id)
    folder = config.work_root().absolute().parent / "jobs" / name
    job = _Job(name, _named(documents, name, folder, run_id))
    with _cancelled_by_sigterm():
        try:
            if not (folder / RESULT).exists():
                _write_order(folder, stage, section, inputs, outputs)
                job.start()
                job.wait(folder)
            metrics: dict[str, Any] = records.read_json(folder / RESULT)["metrics"]
            for port, path in outputs.items():
                _copy(folder / "outputs" / port, Path(path))
        except BaseException:
            job.delete()
            records.remove(folder)
            raise
        job.delete()  # before the folder: a try that is killed here finds the result
        records.remove(folder)
    return metrics


def check_access() -> str:
    """Asks the cluster whether Trainer is installed and this task may use it; EndpointError or UserError with the fix if not."""
    return _Api().check_access()


def _name(
    stage: str, documents: Mapping[str, Any], section: Mapping[str, Any], inputs: Mapping[str, Path | str], run_id: str
) -> str:
    digests = {port: records.digest(Path(path)) for port, path in sorted(inputs.items())}
    parts = json.dumps([run_id, stage, documents, dict(section), digests], sort_keys=True)
    return f"sense-{stage}-{hashlib.sha256(parts.encode()).hexdigest()[:12]}"


def _named(documents: Mapping[str, Any], name: str, folder: Path, run_id: str) -> dict[str, Any]:
    """The manifests with the job's name, the run's label and the folder that its processes work in."""
    runtime, job = documents["runtime"], documents["job"]
    for document in (runtime, job):
        document["metadata"]["name"] = name
        if run_id:
            document["metadata"]["labels"][_RUN_LABEL] = run_id
    job["spec"]["runtimeRef"]["name"] = name
    job["spec"]["trainer"]["args"].append(str(folder))
    return {"runtime": runtime, "job": job}


def _write_order(
    folder: Path, stage: str, section: Mapping[str, Any], inputs: Mapping[str, Path | str], outputs: Mapping[str, Path | str]
) -> None:
    """Puts inputs and order where the nodes see them; what a killed try has put there stays."""
    (folder / ERROR).unlink(missing_ok=True)
    for port, path in inputs.items():
        if not (folder / "inputs" / port).exists():
            _copy(Path(path), folder / "inputs" / port)
    order = {
        "stage": stage,
        "section": dict(section),
        "inputs": {port: str(folder / "inputs" / port) for port in inputs},
        "outputs": {port: str(folder / "outputs" / port) for port in outputs},
        "environment": config.tracking_variables(),
    }
    records.write_json(folder / ORDER, order)


def _copy(source: Path, target: Path) -> None:
    """Copies a file or folder, whole or not at all; `deliver` would move it."""
    staged = target.with_name(f".{target.name}.copy.partial")
    records.remove(staged)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, staged)
    else:
        shutil.copy2(source, staged)
    records.deliver(staged, target)


@contextmanager
def _cancelled_by_sigterm() -> Iterator[None]:
    """Within the block SIGTERM, which Kubernetes sends to a pod that it ends, is a SystemExit."""

    def end(*_: object) -> None:
        raise SystemExit(_SIGTERM_CODE)

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class _Job:
    """One TrainJob with its runtime, of one name, in the namespace of this task."""

    def __init__(self, name: str, documents: Mapping[str, Any]) -> None:
        self._name, self._documents = name, documents
        self._api = _Api()

    def start(self) -> None:
        """Creates runtime and job, unless the job is there and has not ended; one that ends is waited for."""
        while True:
            job = self._api.get(JOBS, self._name)
            if job is None:
                # a runtime that is still being deleted refuses the new one: it is gone soon
                if self._api.create(RUNTIMES, self._documents["runtime"]) and self._api.create(JOBS, self._documents["job"]):
                    console.say(f"TrainJob {self._name} created: kubectl get trainjob {self._name}")
                    return
            elif not _is_terminating(job):
                if _ended(job) is None:
                    console.say(f"TrainJob {self._name} is there from an earlier try: waiting for it")
                    return
                self._delete()
            _pause()

    def wait(self, folder: Path) -> None:
        """Returns when the job is complete. Raises what its processes say, or SenseError if it ends without a word."""
        log = _RankZeroLog(self._api, self._name)
        log.start()
        try:
            state = ""
            while True:
                job = self._api.get(JOBS, self._name)
                if (folder / ERROR).exists():
                    error = records.read_json(folder / ERROR)
                    raise (UserError if error["exit_code"] == UserError.exit_code else SenseError)(error["error"])
                if job is None or _is_terminating(job):
                    raise UserError(f"TrainJob {self._name} was deleted; run the task again, it goes on from its last checkpoint")
                ended = _ended(job)
                if ended is not None and (folder / RESULT).exists():
                    return  # the outputs are in place: a process that failed after that does no harm
                if ended is not None:
                    raise SenseError(f"TrainJob {self._name} ended as {_state(job)}; the reason is in the log above")
                if _state(job) != state:
                    state = _state(job)
                    console.say(f"TrainJob {self._name}: {state}")
                _pause()
        finally:
            log.stop()

    def delete(self) -> None:
        """Deletes job and runtime, and waits for the job's end for a while; a failure is told with what to do."""
        try:
            self._delete()
            limit = time.monotonic() + _DELETION_S
            while time.monotonic() < limit and self._api.get(JOBS, self._name) is not None:
                _pause()
        except EndpointError as error:
            console.say(f"{error}; delete it yourself: kubectl delete trainjob,trainingruntime {self._name}")

    def _delete(self) -> None:
        self._api.delete(JOBS, self._name)
        self._api.delete(RUNTIMES, self._name)


def _pause() -> None:
    threading.Event().wait(_POLL_S)


def _is_terminating(job: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in job["metadata"]


def _conditions(job: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The conditions that hold."""
    return [one for one in job.get("status", {}).get("conditions", ()) if one["status"] == "True"]


def _ended(job: Mapping[str, Any]) -> str | None:
    """Complete or Failed; None for a job that has not ended."""
    return next((one["type"] for one in _conditions(job) if one["type"] in ("Complete", "Failed")), None)


def _state(job: Mapping[str, Any]) -> str:
    """What holds of a job, for people."""
    return "; ".join(f"{one['type']} ({one.get('message') or one.get('reason', '')})" for one in _conditions(job)) or "running"


class _RankZeroLog(threading.Thread):
    """Prints the log of the first process's pod while it grows, and that of the pod that takes its place."""

    def __init__(self, api: "_Api", name: str) -> None:
        super().__init__(daemon=True)
        self._api, self._job = api, name
        self._ended = threading.Event()

    def run(self) -> None:
        """Goes on until `stop` and the end of the log; what the API server does not give is tried again."""
        lines: dict[str, int] = {}  # that were printed of each pod
        while True:
            last = self._ended.is_set()
            try:
                pod = self._api.newest_pod(
                    f"jobset.sigs.k8s.io/jobset-name={self._job},batch.kubernetes.io/job-completion-index=0"
                )
                if pod is not None:
                    for number, line in enumerate(self._api.log(pod)):
                        if number >= lines.get(pod, 0):
                            print(line, flush=True)
                            lines[pod] = number + 1
            except EndpointError as error:
                console.say(f"{error}; the training goes on without its log")
            if last:
                return
            self._ended.wait(_POLL_S)

    def stop(self) -> None:
        """Prints what is left, for some seconds at most."""
        self._ended.set()
        self.join(_DELETION_S / 4)


class _Api:
    """The paths of the Kubernetes API that a task needs; failures are EndpointErrors that name the fix."""

    def __init__(self) -> None:
        try:
            from kubernetes import client
            from kubernetes import config as settings
        except ImportError:
            raise UserError(f"training on several nodes needs the extra `nodes`: {install('nodes')}") from None
        try:
            if _NAMESPACE_FILE.exists():
                settings.load_incluster_config()
                self._namespace = _NAMESPACE_FILE.read_text().strip()
            else:
                settings.load_kube_config()
                self._namespace = settings.list_kube_config_contexts()[1]["context"].get("namespace", "default")
        except settings.ConfigException as error:
            raise UserError(
                f"training on several nodes needs a cluster ({error}); set resources.*.nodes to 1 outside one"
            ) from None
        self._objects, self._core = client.CustomObjectsApi(), client.CoreV1Api()

    def check_access(self) -> str:
        """Lists what is there, and asks about each right; returns what it saw."""
        from kubernetes import client

        for plural in (JOBS, RUNTIMES):
            path = (GROUP, VERSION, self._namespace, plural)
            self._call("list", plural, partial(self._objects.list_namespaced_custom_object, *path, limit=1))
        api = client.AuthorizationV1Api()
        for verb, group, resource in _RIGHTS:
            kind, _, part = resource.partition("/")
            attributes = {"namespace": self._namespace, "verb": verb, "group": group, "resource": kind, "subresource": part}
            review = client.V1SelfSubjectAccessReview(spec={"resourceAttributes": attributes})
            answer = self._call("ask about", resource, partial(api.create_self_subject_access_review, review))
            if not answer.status.allowed:
                raise self._forbidden(verb, resource)
        return f"{VERSION} answers, and the namespace {self._namespace} may be used"

    def _forbidden(self, verb: str, resource: str) -> EndpointError:
        return EndpointError(
            f"Kubernetes does not let this task {verb} {resource} in the namespace {self._namespace}; "
            "give its service account the role of docs/trainer-rbac.yaml"
        )

    def get(self, plural: str, name: str) -> dict[str, Any] | None:
        """An object, or None if there is none."""
        path = (GROUP, VERSION, self._namespace, plural, name)
        present: dict[str, Any] | None = self._call(
            "get", plural, lambda: self._objects.get_namespaced_custom_object(*path), {404: None}
        )
        return present

    def create(self, plural: str, document: Mapping[str, Any]) -> bool:
        """Creates an object; False if one of its name is being deleted, True if it is there."""
        path = (GROUP, VERSION, self._namespace, plural)
        if self._call("create", plural, lambda: self._objects.create_namespaced_custom_object(*path, document), {409: None}):
            return True
        present = self.get(plural, document["metadata"]["name"])
        return present is not None and not _is_terminating(present)

    def delete(self, plural: str, name: str) -> None:
        """Deletes an object with all that belongs to it, if it is there."""
        path = (GROUP, VERSION, self._namespace, plural, name)
        options = {"propagation_policy": "Foreground"} if plural == JOBS else {}
        self._call("delete", plural, lambda: self._objects.delete_namespaced_custom_object(*path, **options), {404: None})

    def newest_pod(self, selector: str) -> str | None:
        """The name of the pod that was created last of those that have started."""
        pods = self._call("list", "pods", lambda: self._core.list_namespaced_pod(self._namespace, label_selector=selector)).items
        started = [pod for pod in pods if pod.status.phase in ("Running", "Succeeded", "Failed")]
        newest = max(started, key=lambda pod: pod.metadata.creation_timestamp, default=None)
        return None if newest is None else str(newest.metadata.name)

    def log(self, pod: str) -> Iterator[str]:
        """The lines of a pod's log until it ends."""
        from urllib3.exceptions import HTTPError

        options = {"follow": True, "_preload_content": False}
        response = self._call("get", "pods/log", lambda: self._core.read_namespaced_pod_log(pod, self._namespace, **options))
        try:
            for line in response:
                yield line.decode(errors="replace").rstrip("\n")
        except HTTPError as error:
            raise EndpointError(f"the log of pod {pod} broke off ({error})") from None
        finally:
            response.release_conn()

    def _call(self, verb: str, resource: str, call: Callable[[], Any], expected: Mapping[int, Any] | None = None) -> Any:
        """What `call` returns, or what `expected` has for its status; a server that does not answer is asked for a while."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        limit = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return call()
            except ApiException as error:
                if error.status in (expected or {}):
                    return (expected or {})[error.status]
                if error.status in (401, 403):
                    raise self._forbidden(verb, resource) from None
                problem = f"{error.status} {error.reason}: {_message(error)}"
                transient = error.status in _TRANSIENT
                if error.status == 404:
                    problem += "; is Kubeflow Trainer 2 installed?"
            except HTTPError as error:
                problem, transient = str(error), True
            if not transient or time.monotonic() > limit:
                raise EndpointError(f"Kubernetes cannot {verb} {resource} in the namespace {self._namespace} ({problem})")
            _pause()


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, TypeError, KeyError):
        return ""
