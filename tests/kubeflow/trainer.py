"""The Kubernetes API and the controller of Kubeflow Trainer, as far as a training on several nodes needs them, on 127.0.0.1.

    with Trainer(program=[sys.executable, "-c", "..."]) as trainer:
        trainer.kubeconfig(file)

For each TrainJob it starts a process a node, a "pod", with the variables that Trainer sets: the job's own command, or `program`
in its place, with the job's last argument. A pod that fails ends the others, and all start again, as often as the runtime's
failure policy says. `trouble`: statuses to answer with before anything else; `forbidden`: requests that are answered with 403
("POST trainjobs"), rights that there are not ("create trainjobs"), and kinds of objects that the cluster lacks ("trainjobs").
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml

NAMESPACE = "research"
GROUP = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{NAMESPACE}/"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


def family(pid):
    """A process and all that descend from it."""
    try:
        children = [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
    except OSError:  # it has ended
        children = []
    return [pid, *(one for child in children for one in family(child))]


class Pod:
    """A process with its log; tells `exits` when it has ended."""

    def __init__(self, job, number, index, command, environment, exits):
        self.name, self.number, self.index = f"{job}-node-0-{index}-{number}", number, index
        self.job, self.lines, self.phase = job, [], "Running"
        self.changed = threading.Condition()
        self._exits = exits
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, env=os.environ | environment, **pipes)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line)
                self.changed.notify_all()
        code = self.process.wait()
        self.process.stdout.close()
        self.process.stdin.close()
        with self.changed:
            self.phase = "Failed" if code else "Succeeded"
            self.changed.notify_all()
        self._exits.put((self, code))

    def kill(self):
        """Ends it and all that it has started, as Kubernetes ends a container."""
        for pid in family(self.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def row(self):
        labels = {"jobset.sigs.k8s.io/jobset-name": self.job, "batch.kubernetes.io/job-completion-index": str(self.index)}
        created = f"2026-01-01T00:00:{self.number:02}Z"
        metadata = {"name": self.name, "labels": labels, "creationTimestamp": created}
        return {"metadata": metadata, "spec": {"containers": [{"name": "node"}]}, "status": {"phase": self.phase}}

    def log(self):
        """The lines, as they come, until it has ended."""
        sent = 0
        while True:
            with self.changed:
                while len(self.lines) == sent and self.phase == "Running":
                    self.changed.wait()
                lines, ended = self.lines[sent:], self.phase != "Running"
            yield from lines
            sent += len(lines)
            if ended and sent == len(self.lines):
                return


class Trainer:
    """A running server; `objects` are those of its API by (plural, name), `pods` all that were started."""

    def __init__(self, program=None, trouble=(), forbidden=()):
        self.program, self.trouble, self.forbidden = program, list(trouble), set(forbidden)
        self.objects, self.pods, self.requests = {}, [], []
        self._lock = threading.RLock()
        self._controllers = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with self._lock:  # a controller starts no pod meanwhile, and none after it
            for document in self.jobs():
                document["metadata"]["deletionTimestamp"] = "now"
            for pod in self.pods:
                pod.kill()
        for controller in self._controllers:
            controller.join()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def kubeconfig(self, file):
        """Writes a file with which kubectl and its like reach this server."""
        host, port = self._server.server_address
        cluster = {"name": "c", "cluster": {"server": f"http://{host}:{port}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}
        value = {"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [cluster], "contexts": [context]}
        file.write_text(yaml.safe_dump(value | {"users": [{"name": "u", "user": {}}]}))

    def release(self):
        """Ends the standard input of the pods: what a program may wait for."""
        for pod in self.pods:
            pod.process.stdin.close()

    def running(self):
        return [pod for pod in self.pods if pod.phase == "Running"]

    def jobs(self):
        return [document for (plural, _), document in self.objects.items() if plural == "trainjobs"]

    def _answer(self, method, path, query, body):
        """(status, JSON or an iterator of a log's lines)."""
        if self.trouble:
            return self.trouble.pop(0), {}
        if path.startswith(GROUP):
            plural, _, name = path.removeprefix(GROUP).partition("/")
            self.requests.append(f"{method} {plural}")
            if f"{method} {plural}" in self.forbidden:
                return 403, {"message": "forbidden"}
            with self._lock:
                return self._object(method, plural, name, body)
        if path.endswith("/selfsubjectaccessreviews"):
            asked = body["spec"]["resourceAttributes"]
            resource = "/".join(filter(None, [asked["resource"], asked["subresource"]]))
            return 201, {"spec": {}, "status": {"allowed": f"{asked['verb']} {resource}" not in self.forbidden}}
        name = path.removeprefix(PODS).strip("/").removesuffix("/log")
        if name:
            return 200, next(pod for pod in self.pods if pod.name == name).log()
        labels = dict(pair.split("=") for pair in query["labelSelector"].split(","))
        rows = [pod.row() for pod in self.pods]
        return 200, {"items": [row for row in rows if labels.items() <= row["metadata"]["labels"].items()]}

    def _object(self, method, plural, name, body):
        if method == "GET" and not name:
            return (404, {}) if plural in self.forbidden else (200, {"items": []})
        key = (plural, name or body["metadata"]["name"])
        if method == "POST":
            if key in self.objects:
                return 409, {"message": "already exists"}
            assert plural != "trainjobs" or ("trainingruntimes", body["spec"]["runtimeRef"]["name"]) in self.objects
            self.objects[key] = body
            if plural == "trainjobs":
                self._controllers.append(threading.Thread(target=self._control, args=(body,)))
                self._controllers[-1].start()
            return 201, body
        if key not in self.objects:
            return 404, {"message": "not found"}
        if method == "DELETE":
            if plural == "trainjobs" and "deletionTimestamp" not in self.objects[key]["metadata"]:
                self.objects[key]["metadata"]["deletionTimestamp"] = "now"
                pods = [pod for pod in self.pods if pod.job == name and pod.phase == "Running"]
                for pod in pods:
                    pod.kill()
                if not pods:
                    del self.objects[key]
            elif plural != "trainjobs":
                del self.objects[key]
            return 200, {}
        return 200, self.objects[key]

    def _control(self, job):
        """Starts the pods of a job, again after a failure, until they have ended, and says so in its status."""
        name = job["metadata"]["name"]
        runtime = self.objects["trainingruntimes", job["spec"]["runtimeRef"]["name"]]
        restarts = runtime["spec"]["template"]["spec"]["failurePolicy"]["maxRestarts"]
        for _ in range(restarts + 1):
            complete = self._run_pods(job)
            if complete or "deletionTimestamp" in job["metadata"]:
                break
        with self._lock:
            condition = "Complete" if complete else "Failed"
            job["status"] = {"conditions": [{"type": condition, "status": "True", "reason": "Ended", "message": "jobset"}]}
            if "deletionTimestamp" in job["metadata"]:
                self.objects.pop(("trainjobs", name), None)

    def _run_pods(self, job):
        """Whether all pods of one start have succeeded."""
        trainer, exits = job["spec"]["trainer"], queue.Queue()
        command = trainer["command"] + trainer["args"]
        if self.program:
            command = [*self.program, command[-1]]
        elif command[0] == "torchrun":
            command[0] = str(Path(sys.executable).with_name("torchrun"))
        port = free_port()
        values = {one["name"]: one["value"] for one in trainer["env"] if "value" in one}
        pods = []
        for index in range(trainer["numNodes"]):
            rendezvous = {"NNODES": trainer["numNodes"], "NPROC_PER_NODE": trainer["numProcPerNode"], "NODE_RANK": index}
            rendezvous |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            environment = values | {f"PET_{key}": str(value) for key, value in rendezvous.items()}
            with self._lock:
                if "deletionTimestamp" in job["metadata"]:
                    break
                pods.append(Pod(job["metadata"]["name"], len(self.pods), index, command, environment, exits))
                self.pods.append(pods[-1])
        codes = []
        for _ in pods:
            codes.append(exits.get()[1])
            if codes[-1]:
                for pod in pods:
                    pod.kill()
        return codes == [0] * trainer["numNodes"]

    def _handler(self):
        trainer = self

        class Handler(BaseHTTPRequestHandler):  # HTTP/1.0: each request on a connection of its own
            timeout = 2  # a task that is cancelled may have connected, and sends nothing any more

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                target = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(target.query).items()}
                status, answer = trainer._answer(self.command, target.path, query, json.loads(body or "null"))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                try:
                    for part in [json.dumps(answer).encode()] if isinstance(answer, dict) else answer:
                        self.wfile.write(part)
                        self.wfile.flush()
                except BrokenPipeError:  # a task that was cancelled reads no more
                    return

            def do_POST(self):
                self.do_GET()

            def do_DELETE(self):
                self.do_GET()

            def log_message(self, *_):
                pass

        return Handler


def free_port():
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return server.server_address[1]
