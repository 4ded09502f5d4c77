"""A stand-in for a model hub on 127.0.0.1: what huggingface_hub calls to create a repository, commit files and ask for one.

with Hub() as hub:
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
"""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_secretOfATest"


@dataclass
class Repository:
    """A model repository: its branches, each a mapping of paths to contents."""

    private: bool
    gated: bool = False
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})
    commits: list[dict[str, Any]] = field(default_factory=list)


class Hub:
    """A running hub; who sends TOKEN may write. `fail` maps a part of a path to the status with which it is answered."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.large_files: dict[str, bytes] = {}
        self.fail: dict[str, int] = {}
        self.members: set[str] = set()  # tokens that may read gated repositories
        self.requests: list[tuple[str, str, str]] = []  # method, path, Authorization
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False  # so that closing waits for them, and no socket outlives the test
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Hub":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        self.requests.append((method, path, token))
        status = next((status for part, status in self.fail.items() if part in path), None)
        if status is not None:
            return status, {"error": f"refused, Authorization: {token}"}
        if path.startswith("/storage/"):
            self.large_files[path.removeprefix("/storage/")] = body
            return 200, {}
        if token != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid credentials in Authorization header"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.endswith("/info/lfs/objects/batch"):
            return 200, {"transfer": "basic", "objects": [self._lfs_object(file) for file in json.loads(body)["objects"]]}
        if path == "/verify":
            return 200, {}
        owner, name, *action = path.removeprefix("/api/models/").split("/")
        repository = self.repositories.get(f"{owner}/{name}")
        if repository is None:
            return 404, {"error": "Repository not found"}
        return self._repository_answer(f"{owner}/{name}", repository, action, body)

    def describe_file(self, path: str, token: str) -> tuple[int, dict[str, str]]:
        """The status and the headers for a file that is asked for by /OWNER/NAME/resolve/REVISION/FILE."""
        self.requests.append(("HEAD", path, token))
        owner, name, _, revision, *file = unquote(path).removeprefix("/").split("/")
        repository = self.repositories.get(f"{owner}/{name}")
        if repository is None or (repository.private and token != f"Bearer {TOKEN}"):
            return 404 if token else 401, {"X-Error-Code": "RepoNotFound"}
        if repository.gated and token.removeprefix("Bearer ") not in self.members:
            return 403 if token else 401, {"X-Error-Code": "GatedRepo"}
        if revision not in repository.branches:
            return 404, {"X-Error-Code": "RevisionNotFound"}
        if "/".join(file) not in repository.branches[revision]:
            return 404, {"X-Error-Code": "EntryNotFound"}
        return 200, {"X-Repo-Commit": "0" * 40, "ETag": '"1"'}

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        name = f"{body['organization']}/{body['name']}"
        if name in self.repositories:
            return 409, {"error": "You already created this model repo", "url": f"{self.address}/{name}"}
        self.repositories[name] = Repository(body.get("visibility") == "private")
        return 200, {"url": f"{self.address}/{name}"}

    def _lfs_object(self, file: dict[str, Any]) -> dict[str, Any]:
        oid = file["oid"]
        upload = {"upload": {"href": f"{self.address}/storage/{oid}"}, "verify": {"href": f"{self.address}/verify"}}
        return {"oid": oid, "size": file["size"], **({} if oid in self.large_files else {"actions": upload})}

    def _repository_answer(self, name: str, repository: Repository, action: list[str], body: bytes) -> tuple[int, Any]:
        if not action:
            return 200, {"id": name, "private": repository.private, "sha": "0" * 40}
        kind, branch = action[0], unquote(action[1])
        if kind == "branch":
            repository.branches.setdefault(branch, dict(repository.branches["main"]))
            return 200, {}
        files = repository.branches[branch]
        if kind == "tree":
            return 200, [{"type": "file", "path": path, "oid": "1", "size": len(content)} for path, content in files.items()]
        if kind == "preupload":
            asked = [file["path"] for file in json.loads(body)["files"]]
            modes = {path: "lfs" if path.endswith(".safetensors") else "regular" for path in asked}
            return 200, {"files": [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]}
        assert kind == "commit"
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                repository.commits.append({"branch": branch, "summary": value["summary"]})
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.large_files[value["oid"]]
                assert hashlib.sha256(files[value["path"]]).hexdigest() == value["oid"]
            else:
                assert line["key"] == "deletedFile"
                del files[value["path"]]
        oid = f"{len(repository.commits):040x}"
        return 200, {"commitUrl": f"{self.address}/{name}/commit/{oid}", "commitOid": oid}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):  # HTTP/1.0: each request on a connection of its own
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def do_HEAD(self) -> None:
                status, headers = hub.describe_file(urlsplit(self.path).path, self.headers.get("Authorization", ""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "1")
                self.end_headers()

            def do_PUT(self) -> None:
                self._answer()

            def _answer(self) -> None:
                body = self._body()
                path = urlsplit(self.path).path
                status, value = hub.answer(self.command, path, self.headers.get("Authorization", ""), body)
                content = json.dumps(value).encode()
                self.send_response(status)
                if status == 404:
                    self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, *_: object) -> None:
                pass

        return Handler
