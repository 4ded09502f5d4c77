"""The API server of Kubeflow Pipelines (v2beta1) as far as `sense pipeline submit` asks it, on 127.0.0.1.

    with Server(states=["PENDING", "SUCCEEDED"], token="secret") as server:
        sense pipeline submit --host server.url

It keeps what is created, refuses what the real one refuses, and answers and fails in the same JSON. A run is in the next
of `states` each time it is asked for, and stays in the last. `trouble`: statuses to answer with before
anything else; 200 is a page that is no API's. With `certificates` (tests.certificates) it speaks TLS.
"""

import email
import json
import ssl
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

CODES = {400: 3, 401: 16, 404: 5, 409: 6, 500: 13, 503: 14}  # HTTP -> gRPC
PREFIX = "/apis/v2beta1"
UPLOAD = f"{PREFIX}/pipelines/upload_version"


class Refusal(Exception):
    """An answer that is an error: status, message."""


class QuietServer(ThreadingHTTPServer):
    """Of clients that refuse its certificate it says nothing."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ssl.SSLError):
            super().handle_error(request, client_address)


class Server:
    """A running server; what it holds is in lists of the API's JSON, `asked` is every request's method and path."""

    def __init__(self, states=("SUCCEEDED",), token="", several_users=False, trouble=(), certificates=None):
        self.pipelines, self.versions, self.experiments, self.runs, self.requests = [], [], [], [], []
        self.recurring_runs, self.uploads = [], []
        self.states, self.token, self.several_users, self.trouble = list(states), token, several_users, list(trouble)
        self._server = QuietServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        if certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.server, certificates.key)
            # in the thread of the request: a client that refuses the certificate is no trouble of the others
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"{'https' if certificates else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, method, target, headers, body):
        path, query = urlsplit(target).path, {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}
        self.requests.append(f"{method} {path.removeprefix(PREFIX)}")
        if self.trouble:
            raise Refusal(self.trouble.pop(0), "Internal error: the database is locked\ngoroutine 1 [running]:")
        if self.token and headers["authorization"] != f"Bearer {self.token}":
            raise Refusal(401, f"Unauthenticated: {headers['authorization']} is not valid")
        match [method, *path.removeprefix(f"{PREFIX}/").split("/")]:
            case ["GET", "experiments" | "pipelines" as kind]:
                namespace = self._namespace(query)
                return listed(kind, [row for row in getattr(self, kind) if row.get("namespace") == namespace], query)
            case ["POST", "experiments" | "pipelines" as kind]:
                return self._create(kind, json.loads(body))
            case ["GET", "pipelines", id, "versions"]:
                self._get(self.pipelines, "pipeline_id", id)
                return listed("pipeline_versions", [row for row in self.versions if row["pipeline_id"] == id], query)
            case ["POST", "pipelines", "upload_version"]:
                return self._upload(query["pipelineid"], query["name"], headers["content-type"], body)
            case ["POST", "runs"]:
                return self._start(json.loads(body), self.runs, "run_id")
            case ["POST", "recurringruns"]:
                return self._start(json.loads(body), self.recurring_runs, "recurring_run_id")
            case ["POST", "runs", retry] if retry.endswith(":retry"):
                run = self._get(self.runs, "run_id", retry.removesuffix(":retry"))
                if run["state"] != "FAILED":
                    raise Refusal(400, "Invalid input error: Only failed runs can be retried")
                return {}
            case ["GET", "runs", id]:
                run = self._get(self.runs, "run_id", id)
                run["state"] = self.states.pop(0) if len(self.states) > 1 else self.states[0]
                return run
        raise Refusal(404, "Not Found")

    def _namespace(self, body):
        if self.several_users != bool(body.get("namespace")):
            mode = "multi-user mode a namespace is needed" if self.several_users else "single-user mode there is no namespace"
            raise Refusal(400, f"Invalid input error: In {mode}")
        return body.get("namespace")

    def _create(self, kind, predicate):
        self._namespace(predicate)
        rows = getattr(self, kind)
        if any(
            row["display_name"] == predicate["display_name"] and row.get("namespace") == predicate.get("namespace")
            for row in rows
        ):
            raise Refusal(409, f"Already exist error: the name {predicate['display_name']} already exists")
        return self._keep(rows, f"{kind.removesuffix('s')}_id", predicate)

    def _upload(self, pipeline, name, kind, body):
        self._get(self.pipelines, "pipeline_id", pipeline)
        if any((row["pipeline_id"], row["display_name"]) == (pipeline, name) for row in self.versions):
            raise Refusal(409, "Failed to create a pipeline version")
        (part,) = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body).get_payload()
        assert part.get_param("name", header="content-disposition") == "uploadfile"
        try:
            self.uploads.append(part.get_payload(decode=True).decode())
            spec, *platform = yaml.safe_load_all(self.uploads[-1])
            json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
            for matches in platform:
                json_format.ParseDict(matches, pipeline_spec_pb2.PlatformSpec())
        except (yaml.YAMLError, json_format.ParseError, ValueError):
            raise Refusal(400, "Failed to read a pipeline spec file") from None
        row = {"pipeline_id": pipeline, "name": name, "display_name": name, "pipeline_spec": spec}
        return self._keep(self.versions, "pipeline_version_id", row)

    def _start(self, predicate, rows, key):
        self._get(self.experiments, "experiment_id", predicate["experiment_id"])
        self._get(self.versions, "pipeline_version_id", predicate["pipeline_version_reference"]["pipeline_version_id"])
        return self._keep(rows, key, predicate)

    def _keep(self, rows, key, row):
        rows.append({key: str(uuid.uuid4()), "created_at": "2026-01-01T00:00:00Z", **row})
        return rows[-1]

    def _get(self, rows, key, id):
        for row in rows:
            if row[key] == id:
                return row
        raise Refusal(404, f"ResourceNotFoundError: {id} not found")

    def _handler(self):
        server = self

        class Handler(BaseHTTPRequestHandler):  # HTTP/1.0: each request on a connection of its own
            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                try:
                    status, answer = 200, json.dumps(server._answer(self.command, self.path, self.headers, body))
                except Refusal as refusal:
                    status, message = refusal.args
                    answer = error_body(status, message, upload=urlsplit(self.path).path == UPLOAD)
                content = answer.encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Location", "/login")  # means something with a redirect's status only
                self.end_headers()
                self.wfile.write(content)

            def do_POST(self):
                self.do_GET()

            def log_message(self, *_):
                pass

        return Handler


def error_body(status, message, upload):
    """The body of an error: as the API's gateway, its upload handler, or the login in front of it writes one."""
    if status < 400:
        return "<html>Log in</html>"
    if upload:
        return json.dumps({"error_message": message, "error_details": message})
    return json.dumps({"error": message, "code": CODES.get(status, 2), "message": message, "details": []})


def listed(kind, rows, query):
    """A page of rows that a filter lets through; the real server leaves out what is empty."""
    (predicate,) = json.loads(query["filter"])["predicates"]
    assert predicate["operation"] == "EQUALS"
    matches = [row for row in rows if row[predicate["key"]] == predicate["string_value"]]
    return {kind: matches, "total_size": len(matches)} if matches else {}
