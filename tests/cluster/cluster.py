"""A namespace of a real cluster, reached by the programs `kubectl` and `helm`, and what their answers mean.

Set these variables to run tests/cluster:

- KUBECONFIG: the configuration of kubectl and helm
- SENSE_CLUSTER_NAMESPACE: a namespace that is there and holds the Secrets and claims that the values name; the tests install and
  uninstall the release `sense-test` in it
- SENSE_CLUSTER_VALUES: a values file with images, MLflow and databases by URL or on claims that several nodes can mount
- SENSE_CLUSTER_CHAMPION, SENSE_CLUSTER_CHALLENGER: files that `sense models values` wrote for two versions
- SENSE_CLUSTER_TIMEOUT_S (optional): seconds that one install or rollout may take, 1800 by default
"""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Manifest = dict[str, Any]
CHART = Path(__file__).parent.parent.parent / "charts" / "sense"
RELEASE = "sense-test"  # its objects are called so too: a release whose name contains that of the chart
REQUIRED = (
    "KUBECONFIG",
    "SENSE_CLUSTER_NAMESPACE",
    "SENSE_CLUSTER_VALUES",
    "SENSE_CLUSTER_CHAMPION",
    "SENSE_CLUSTER_CHALLENGER",
)
# what the server writes into every object
_SERVERS = {"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"}


class CommandError(Exception):
    """kubectl or helm ended with an error; its text is what they wrote."""


class Settings(NamedTuple):
    """What the environment says."""

    namespace: str
    values: Path
    champion: Path
    challenger: Path
    timeout_s: int


def settings(environment: Mapping[str, str], which: Callable[[str], str | None] = shutil.which) -> Settings | str:
    """The settings, or the reason why there are none."""
    missing = [name for name in REQUIRED if not environment.get(name)]
    missing += [f"the program {name}" for name in ("kubectl", "helm") if not which(name)]
    if missing:
        return f"needs a cluster: {', '.join(missing)} missing (tests/cluster/cluster.py says what they are)"
    files = [Path(environment[name]) for name in REQUIRED[2:]]
    if absent := [str(file) for file in files if not file.is_file()]:
        return f"needs a cluster: there is no file {', '.join(absent)}"
    return Settings(environment[REQUIRED[1]], *files, int(environment.get("SENSE_CLUSTER_TIMEOUT_S", "1800")))


class Pod(NamedTuple):
    """A pod that is not on its way out."""

    name: str
    uid: str
    ready: bool
    version: str


class Cluster:
    """The release in its namespace."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def helm(self, *arguments: str) -> str:
        return run(["helm", "--namespace", self.settings.namespace, *arguments])

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return run(["kubectl", "--namespace", self.settings.namespace, *arguments], stdin)

    def upgrade(self, version: Path, options: Mapping[str, Any], *flags: str) -> None:
        """Installs or upgrades to `version` with options (dotted path -> value), and waits until all is rolled out."""
        self.helm(*upgrade_arguments(self.settings, version, options), *flags)
        for part in ("vllm", "gateway"):
            self.rolled_out(part)

    def rolled_out(self, part: str) -> None:
        """Waits until the Deployment of a part has rolled out."""
        self.kubectl("rollout", "status", f"deployment/{RELEASE}-{part}", f"--timeout={self.settings.timeout_s}s")

    def deployment(self, part: str) -> Manifest:
        return json.loads(self.kubectl("get", "deployment", f"{RELEASE}-{part}", "-o", "json"))

    def pods(self, part: str) -> list[Pod]:
        selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={part}"
        return read_pods(json.loads(self.kubectl("get", "pods", "--selector", selector, "-o", "json")))

    def test(self) -> str:
        """`helm test`; its log."""
        return self.helm("test", RELEASE, "--logs", "--timeout", "10m")

    def evict(self, pod: str) -> bool:
        """Asks for the eviction of a pod, as `kubectl drain` does; False if the disruption budget does not allow it now."""
        metadata = {"name": pod, "namespace": self.settings.namespace}
        body = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})
        path = f"/api/v1/namespaces/{self.settings.namespace}/pods/{pod}/eviction"
        try:
            self.kubectl("create", "--raw", path, "-f", "-", stdin=body)
        except CommandError as error:
            if is_refused_by_budget(str(error)):
                return False
            raise
        return True

    def drift(self) -> list[str]:
        """Where the live objects of the release are not what its manifest says: kind, name and path."""
        lines = []
        for manifest in yaml.safe_load_all(self.helm("get", "manifest", RELEASE)):
            if manifest:
                text = json.dumps(owned(manifest, self.settings.namespace))
                live = json.loads(self.kubectl("get", "-o", "json", "-f", "-", stdin=text))
                applied = json.loads(self.kubectl(*APPLY, stdin=text))
                name = f"{manifest['kind']}/{manifest['metadata']['name']}"
                lines += [f"{name}{path}" for path in differences(live, applied)]
        return lines


APPLY = ("apply", "--server-side", "--dry-run=server", "--force-conflicts", "--field-manager=helm", "-o", "json", "-f", "-")


def run(command: Sequence[str], stdin: str = "") -> str:
    """The output of a program; CommandError if it fails."""
    process = subprocess.run(command, input=stdin, check=False, capture_output=True, text=True)
    if process.returncode:
        raise CommandError(f"{' '.join(command)}: {process.stderr.strip() or process.stdout.strip()}")
    return process.stdout


def upgrade_arguments(settings: Settings, version: Path, options: Mapping[str, Any]) -> list[str]:
    """The words of `helm` that install or upgrade. JSON keeps the types of options."""
    arguments = ["upgrade", "--install", RELEASE, str(CHART), "-f", str(settings.values), "-f", str(version)]
    for path, value in options.items():
        arguments += ["--set-json", f"{path}={json.dumps(value)}"]
    return [*arguments, "--timeout", f"{settings.timeout_s}s"]


def owned(manifest: Manifest, namespace: str) -> Manifest:
    """The manifest with the annotations that Helm adds to it only as it sends it."""
    annotations = {"meta.helm.sh/release-name": RELEASE, "meta.helm.sh/release-namespace": namespace}
    metadata = manifest["metadata"]
    return manifest | {"metadata": metadata | {"annotations": metadata.get("annotations", {}) | annotations}}


def apply_modes(version: str) -> list[str]:
    """The flags of `helm upgrade` for each mode of apply that this Helm has (`helm version --short`); "" for the only one."""
    major = re.match(r"v?(\d+)\.", version.strip())
    if not major:
        raise ValueError(f"helm version --short: {version!r} is no version")
    return [""] if int(major[1]) < 4 else ["--server-side=true", "--server-side=false"]


def read_pods(answer: Manifest) -> list[Pod]:
    """The pods in an answer of `kubectl get pods -o json` that are not on their way out, by name."""
    pods = []
    for item in answer["items"]:
        metadata, status = item["metadata"], item.get("status", {})
        if "deletionTimestamp" not in metadata and status.get("phase") not in ("Succeeded", "Failed"):
            conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
            version = metadata.get("labels", {}).get("sense/model-version", "")
            pods.append(Pod(metadata["name"], metadata["uid"], conditions.get("Ready") == "True", version))
    return sorted(pods)


def is_refused_by_budget(message: str) -> bool:
    """Whether kubectl's error is the answer 429 to an eviction."""
    return "TooManyRequests" in message or "disruption budget" in message


def differences(live: Any, applied: Any, path: str = "") -> Iterator[str]:
    """The paths at which two answers of the server differ, apart from what it writes itself."""
    if isinstance(live, dict) and isinstance(applied, dict):
        own = {"status"} if not path else _SERVERS if path == ".metadata" else set()
        for key in sorted((live.keys() | applied.keys()) - own):
            yield from differences(live.get(key), applied.get(key), f"{path}.{key}")
    elif isinstance(live, list) and isinstance(applied, list) and len(live) == len(applied):
        for number, (one, other) in enumerate(zip(live, applied, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif live != applied:
        yield f"{path}: {json.dumps(live)} is live, {json.dumps(applied)} is applied"


def wait_until(
    condition: Callable[[], bool],
    seconds: float,
    message: str,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Asks every second until `condition` holds; TimeoutError with `message` if that takes longer."""
    end = clock() + seconds
    while not condition():
        if clock() >= end:
            raise TimeoutError(f"{message} within {seconds:g} seconds")
        sleep(1)


def holds_for(
    condition: Callable[[], bool],
    seconds: float,
    message: str,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Asks every second for so long; AssertionError with `message` as soon as `condition` does not hold."""
    end = clock() + seconds
    while clock() < end:
        assert condition(), message
        sleep(1)
