"""As much of Kubernetes' API as Helm needs to install and upgrade: it keeps objects and every request, and runs nothing.

It knows no schema and merges no lists: tests look at what Helm sends. Jobs end as soon as they are created, in the way that a
test says.
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import yaml

Manifest = dict[str, Any]
# group and version -> resource -> kind; all are namespaced
RESOURCES = {
    "v1": {
        "configmaps": "ConfigMap",
        "persistentvolumeclaims": "PersistentVolumeClaim",
        "pods": "Pod",
        "secrets": "Secret",
        "serviceaccounts": "ServiceAccount",
        "services": "Service",
    },
    "apps/v1": {"deployments": "Deployment", "replicasets": "ReplicaSet"},
    "autoscaling/v2": {"horizontalpodautoscalers": "HorizontalPodAutoscaler"},
    "batch/v1": {"jobs": "Job"},
    "keda.sh/v1alpha1": {"scaledobjects": "ScaledObject"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
}
MERGES = ("application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml")


class Request(NamedTuple):
    """A request that changes something: its method, resource and name, the kind of patch, and its body."""

    method: str
    resource: str
    name: str
    patch: str
    body: Manifest

    @property
    def target(self) -> str:
        return f"{self.method} {self.resource}/{self.name}"


class KubernetesApi(ThreadingHTTPServer):
    """Serves while it is entered. `jobs_end`: the condition that a new Job gets, Complete or Failed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[tuple[str, str], Manifest] = {}
        self.writes: list[Request] = []
        self.jobs_end = "Complete"
        self._events: list[tuple[str, Manifest]] = []
        self._changed = threading.Condition()
        self._open = True

    def __enter__(self) -> "KubernetesApi":
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._open = False
            self._changed.notify_all()
        self.shutdown()
        self.server_close()

    @property
    def kubeconfig(self) -> str:
        cluster = {"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.server_port}"}}
        context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
        user: Manifest = {"name": "test", "user": {}}
        config = {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "test"}
        return yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **config})

    @property
    def version(self) -> str:
        """The resource version of all that is there now: the count of changes."""
        return str(len(self._events))

    def store(self, resource: str, manifest: Manifest, event: str = "MODIFIED") -> Manifest:
        """Keeps a manifest, as its next version."""
        name = manifest["metadata"]["name"]
        with self._changed:
            manifest["metadata"] |= {"resourceVersion": str(len(self._events) + 1), "uid": name}
            self.objects[resource, name] = manifest
            self._tell(resource, event, manifest)
        return manifest

    def remove(self, resource: str, name: str) -> Manifest | None:
        with self._changed:
            manifest = self.objects.pop((resource, name), None)
            if manifest:
                manifest["metadata"]["resourceVersion"] = str(len(self._events) + 1)
                self._tell(resource, "DELETED", manifest)
        return manifest

    def watch(self, resource: str, since: int) -> Iterator[Manifest]:
        """The changes of a resource after a version, until the server ends."""
        while True:
            with self._changed:
                while self._open and len(self._events) == since:
                    self._changed.wait()
                if not self._open:
                    return
                events, since = self._events[since:], len(self._events)
            yield from (event for changed, event in events if changed == resource)

    def list(self, resource: str) -> tuple[list[Manifest], str]:
        """The objects of a resource, and the version of all."""
        with self._changed:
            return [manifest for (kind, _), manifest in self.objects.items() if kind == resource], self.version

    def _tell(self, resource: str, event: str, manifest: Manifest) -> None:
        self._events.append((resource, {"type": event, "object": json.loads(json.dumps(manifest))}))
        self._changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    server: KubernetesApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path, question = url.path.strip("/"), parse_qs(url.query)
        if path == "openapi/v2":  # a schema without types, in protobuf: clients check nothing
            return self._send(b"", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
        if (answer := _discovery(path)) is not None:
            return self._answer(answer)
        version, resource, name = _target(path)
        kind = RESOURCES.get(version, {}).get(resource)
        if question.get("watch", ["false"])[0] in ("true", "1"):
            return self._stream(version, resource, question)
        if kind and not name:
            items, newest = self.server.list(resource)
            return self._answer(
                {"kind": f"{kind}List", "apiVersion": version, "metadata": {"resourceVersion": newest}, "items": items}
            )
        return self._object(self.server.objects.get((resource, name)))

    def do_POST(self) -> None:
        _, resource, _ = _target(urlsplit(self.path).path.strip("/"))
        manifest = self._body()
        self._record(resource, manifest["metadata"]["name"], manifest)
        if (resource, manifest["metadata"]["name"]) in self.server.objects:
            return self._answer(_status(409, "AlreadyExists"), 409)
        return self._answer(self._created(resource, manifest), 201)

    def do_PATCH(self) -> None:
        _, resource, name = _target(urlsplit(self.path).path.strip("/"))
        patch = self._body()
        self._record(resource, name, patch)
        if self.headers["Content-Type"] not in MERGES:
            return self._answer(_status(415, "UnsupportedMediaType"), 415)
        before = self.server.objects.get((resource, name))
        if before is None:
            return self._answer(self._created(resource, patch), 201)
        return self._answer(self.server.store(resource, _merge(before, patch)))

    def do_DELETE(self) -> None:
        _, resource, name = _target(urlsplit(self.path).path.strip("/"))
        self._record(resource, name, self._body())
        return self._object(self.server.remove(resource, name))

    def _created(self, resource: str, manifest: Manifest) -> Manifest:
        if resource == "jobs":
            condition = {"type": self.server.jobs_end, "status": "True", "reason": "PodFailurePolicy", "message": "exit code 3"}
            manifest["status"] = {"conditions": [condition]}
        return self.server.store(resource, manifest, "ADDED")

    def _record(self, resource: str, name: str, body: Manifest) -> None:
        self.server.writes.append(Request(self.command, resource, name, self.headers["Content-Type"] or "", body))

    def _body(self) -> Manifest:
        text = self.rfile.read(int(self.headers["Content-Length"] or 0))
        return yaml.safe_load(text) or {}

    def _object(self, manifest: Manifest | None) -> None:
        if manifest is None:
            return self._answer(_status(404, "NotFound"), 404)
        return self._answer(manifest)

    def _answer(self, value: Manifest, code: int = 200) -> None:
        self._send(json.dumps(value).encode(), "application/json", code)

    def _send(self, content: bytes, kind: str, code: int = 200) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, version: str, resource: str, question: dict[str, list[str]]) -> None:
        """Answers a watch; with sendInitialEvents it begins with what is there, and a bookmark behind it."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):  # who watched has gone
            for event in self._changes(version, resource, question):
                self.wfile.write(json.dumps(event).encode() + b"\n")
                self.wfile.flush()

    def _changes(self, version: str, resource: str, question: dict[str, list[str]]) -> Iterator[Manifest]:
        since = question.get("resourceVersion", [""])[0] or self.server.version
        if "sendInitialEvents" in question:
            items, since = self.server.list(resource)
            yield from ({"type": "ADDED", "object": item} for item in items)
            metadata = {"resourceVersion": since, "annotations": {"k8s.io/initial-events-end": "true"}}
            mark = {"kind": RESOURCES[version][resource], "apiVersion": version, "metadata": metadata}
            yield {"type": "BOOKMARK", "object": mark}
        yield from self.server.watch(resource, int(since))

    def log_message(self, *_: object) -> None:
        """Nothing: pytest shows what matters."""


def _target(path: str) -> tuple[str, str, str]:
    """Version, resource and name ("" for all) of an object's path."""
    parts = path.split("/")
    version = "v1" if parts[0] == "api" else "/".join(parts[1:3])
    rest = parts[2 if parts[0] == "api" else 3 :]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    return version, (rest or [""])[0], rest[1] if len(rest) > 1 else ""


def _discovery(path: str) -> Manifest | None:
    """The API's description of itself; None for the path of an object."""
    if path == "version":
        return {"major": "1", "minor": "36", "gitVersion": "v1.36.0"}
    if path == "api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "apis":
        groups = [version.split("/") for version in RESOURCES if "/" in version]
        versions = [(group, {"groupVersion": f"{group}/{version}", "version": version}) for group, version in groups]
        listed = [{"name": group, "versions": [one], "preferredVersion": one} for group, one in versions]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    version = path.partition("/")[2]
    if version in RESOURCES:
        verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
        resources = [
            {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": verbs}
            for name, kind in RESOURCES[version].items()
        ]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
    return None


def _status(code: int, reason: str) -> Manifest:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason}


def _merge(base: Manifest, patch: Manifest) -> Manifest:
    """A JSON merge patch: null removes a key."""
    result = dict(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merge(result[key], value)
        else:
            result[key] = value
    return result
