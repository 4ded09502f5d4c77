"""The commands of tests/cluster themselves: what they ask of kubectl and helm, and what they read from recorded answers."""

import json
import os
import stat

import pytest

from tests.cluster import cluster
from tests.cluster.cluster import CHART, REQUIRED, Cluster, CommandError, Settings

CONDITIONS = [{"type": "Ready", "status": "True"}]


@pytest.fixture
def files(tmp_path):
    for name in ("values.yaml", "champion.yaml", "challenger.yaml"):
        (tmp_path / name).write_text("{}\n")
    return tmp_path


@pytest.fixture
def environment(files):
    names = ("", "", "values.yaml", "champion.yaml", "challenger.yaml")
    return {key: str(files / name) for key, name in zip(REQUIRED, names, strict=True)} | {"SENSE_CLUSTER_NAMESPACE": "sense"}


@pytest.fixture
def sense(environment):
    return Cluster(cluster.settings(environment, which=str))


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Writes programs that answer as recorded, and returns the words that they were called with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(name, output="", error="", code=0):
        (folder / f"{name}.out").write_text(output)
        (folder / f"{name}.err").write_text(error)
        script = f'printf "%s\\n" "$@" >> "$0.words"\ncat > "$0.stdin"\ncat "$0.out"\ncat "$0.err" >&2\nexit {code}\n'
        (folder / name).write_text(f"#!/bin/sh\n{script}")
        (folder / name).chmod(stat.S_IRWXU)
        return folder / name

    return write


def words(path):
    return path.with_name(f"{path.name}.words").read_text().splitlines()


def test_settings(environment, files):
    chosen = cluster.settings(environment | {"SENSE_CLUSTER_TIMEOUT_S": "60"}, which=str)
    assert chosen == Settings("sense", files / "values.yaml", files / "champion.yaml", files / "challenger.yaml", 60)


def test_without_a_cluster_the_reason_names_all_that_is_missing(environment):
    reason = cluster.settings({"KUBECONFIG": "k"}, which=lambda name: None if name == "helm" else name)
    assert [name in reason for name in (*REQUIRED, "the program helm", "the program kubectl")] == [False, *[True] * 5, False]
    assert "no file nowhere" in cluster.settings(environment | {"SENSE_CLUSTER_VALUES": "nowhere"}, which=str)


def test_an_upgrade_names_the_chart_the_files_and_typed_options(sense, files):
    arguments = cluster.upgrade_arguments(
        sense.settings, files / "challenger.yaml", {"gateway.replicas": 4, "model.version": "9"}
    )
    assert arguments[:4] == ["upgrade", "--install", "sense-test", str(CHART)]
    assert arguments[4:8] == ["-f", str(files / "values.yaml"), "-f", str(files / "challenger.yaml")]
    assert arguments[8:] == ["--set-json", "gateway.replicas=4", "--set-json", 'model.version="9"', "--timeout", "1800s"]


def test_upgrades_wait_for_both_parts(sense, program, files):
    helm, kubectl = program("helm"), program("kubectl")
    sense.upgrade(files / "champion.yaml", {}, "--server-side=false")
    assert (words(helm)[:3], words(helm)[-1]) == (["--namespace", "sense", "upgrade"], "--server-side=false")
    assert [word for word in words(kubectl) if "/" in word] == ["deployment/sense-test-vllm", "deployment/sense-test-gateway"]


def test_what_a_program_says_is_the_error(sense, program):
    program("helm", error="Error: UPGRADE FAILED: pre-upgrade hooks failed: 1 error occurred\n", code=1)
    with pytest.raises(CommandError, match=r"^helm --namespace sense test .*: Error: UPGRADE FAILED: pre-upgrade hooks failed"):
        sense.test()


@pytest.mark.parametrize(
    ("version", "modes"),
    [
        ("v3.16.2+g13654a5\n", [""]),
        ("v4.0.1+gabcdef0", ["--server-side=true", "--server-side=false"]),
        ("v10.0.0", ["--server-side=true", "--server-side=false"]),
    ],
)
def test_modes_of_apply(version, modes):
    assert cluster.apply_modes(version) == modes


def test_an_answer_that_is_no_version_is_an_error():
    with pytest.raises(ValueError, match="is no version"):
        cluster.apply_modes("WARNING: kubeconfig is group-readable")


def pod(name, phase="Running", conditions=(), labels=None, **metadata):
    metadata |= {"name": name, "uid": f"uid-{name}", "labels": labels or {}}
    return {"metadata": metadata, "status": {"phase": phase, "conditions": list(conditions)}}


def test_pods_on_their_way_out_do_not_count(sense, program):
    items = [
        pod("c", "Pending"),
        pod("a", conditions=CONDITIONS, labels={"sense/model-version": "3"}),
        pod("b", conditions=CONDITIONS, deletionTimestamp="2026-11-30T00:00:00Z"),
        pod("d", "Failed"),
    ]
    kubectl = program("kubectl", json.dumps({"kind": "List", "items": items}))
    assert sense.pods("vllm") == [("a", "uid-a", True, "3"), ("c", "uid-c", False, "")]
    assert "app.kubernetes.io/instance=sense-test,app.kubernetes.io/component=vllm" in words(kubectl)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("", True),
        ("Error from server (TooManyRequests): Cannot evict pod as it would violate the pod's disruption budget.", False),
    ],
)
def test_an_eviction_that_the_budget_forbids_now(sense, program, error, expected):
    kubectl = program("kubectl", error=error, code=1 if error else 0)
    assert sense.evict("a") is expected
    assert "/api/v1/namespaces/sense/pods/a/eviction" in words(kubectl)
    assert json.loads((kubectl.parent / "kubectl.stdin").read_text())["kind"] == "Eviction"


def test_another_failure_of_an_eviction_is_an_error(sense, program):
    program("kubectl", error='Error from server (Forbidden): pods "a" is forbidden', code=1)
    with pytest.raises(CommandError, match="Forbidden"):
        sense.evict("a")


def test_differences_are_those_that_the_manifest_makes():
    live = {
        "metadata": {"name": "a", "resourceVersion": "7", "managedFields": [1], "labels": {"x": "1"}},
        "spec": {"replicas": 4, "ports": [{"port": 80}]},
        "status": {"replicas": 4},
    }
    same = json.loads(json.dumps(live)) | {"status": {}}
    same["metadata"] |= {"resourceVersion": "9", "managedFields": []}
    assert list(cluster.differences(live, same)) == []
    same["spec"] = {"replicas": 1, "ports": [{"port": 81}], "paused": True}
    same["metadata"]["labels"] = {}
    assert list(cluster.differences(live, same)) == [
        '.metadata.labels.x: "1" is live, null is applied',
        ".spec.paused: null is live, true is applied",
        ".spec.ports[0].port: 80 is live, 81 is applied",
        ".spec.replicas: 4 is live, 1 is applied",
    ]


def test_drift_asks_for_every_object_of_the_manifest(sense, program):
    manifest = "---\nkind: Service\nmetadata: {name: s}\n---\n# empty\n---\nkind: ConfigMap\nmetadata: {name: c}\n"
    program("helm", manifest)
    kubectl = program("kubectl", '{"metadata": {"name": "s"}}')
    assert sense.drift() == []
    assert (words(kubectl).count("get"), words(kubectl).count("--dry-run=server")) == (2, 2)
    sent = json.loads((kubectl.parent / "kubectl.stdin").read_text())
    assert (sent["kind"], sent["metadata"]["name"]) == ("ConfigMap", "c")
    assert sent["metadata"]["annotations"] == {  # which Helm adds to what it sends, and not to the manifest
        "meta.helm.sh/release-name": "sense-test",
        "meta.helm.sh/release-namespace": "sense",
    }


class Clock:
    def __init__(self):
        self.now = 0.0

    def sleep(self, seconds):
        self.now += seconds


def test_waiting_ends_with_the_condition_or_the_time():
    clock = Clock()
    cluster.wait_until(lambda: clock.now >= 3, 5, "late", lambda: clock.now, clock.sleep)
    assert clock.now == 3
    with pytest.raises(TimeoutError, match="late within 5 seconds"):
        cluster.wait_until(lambda: False, 5, "late", lambda: clock.now, clock.sleep)
    assert clock.now == 8


def test_what_must_hold_is_asked_until_the_end():
    clock = Clock()
    cluster.holds_for(lambda: clock.now < 5, 5, "gone", lambda: clock.now, clock.sleep)
    with pytest.raises(AssertionError, match="gone"):
        cluster.holds_for(lambda: clock.now < 7, 5, "gone", lambda: clock.now, clock.sleep)
    assert clock.now == 7
