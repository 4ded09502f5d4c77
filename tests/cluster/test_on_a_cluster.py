"""The chart on a real cluster, from the first install to the last rollback; tests/cluster/cluster.py says what it needs.

One release goes through all tests in their order. Each begins with an upgrade to what it needs, so that one can run alone.
"""

import json
import os
import threading

import pytest

from tests.cluster.cluster import RELEASE, Cluster, CommandError, apply_modes, holds_for, settings, wait_until

pytestmark = pytest.mark.cluster
# several gateways, none of which keeps anything
OPTIONS = {"gateway.feedback.enabled": False, "gateway.replicas": 2}
QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": RELEASE},
    "spec": {
        "hard": {
            "requests.cpu": "1000",
            "requests.memory": "100Ti",
            "limits.memory": "100Ti",
            "requests.ephemeral-storage": "100Ti",
            "pods": "1000",
        }
    },
}


@pytest.fixture(scope="module")
def cluster():
    chosen = settings(os.environ)
    if isinstance(chosen, str):
        pytest.skip(chosen)
    cluster = Cluster(chosen)
    yield cluster
    cluster.helm("uninstall", RELEASE, "--ignore-not-found", "--wait")


@pytest.fixture
def champion(cluster):
    """The release, with the champion and two gateways."""
    cluster.upgrade(cluster.settings.champion, OPTIONS)
    return cluster


def uids(cluster, part):
    return {pod.uid for pod in cluster.pods(part)}


def versions(cluster):
    return {pod.version for pod in cluster.pods("vllm") if pod.ready}


def test_install(champion):
    assert len(versions(champion)) == 1
    assert [pod.ready for pod in champion.pods("gateway")] == [True, True]
    champion.test()


def test_nothing_drifts(champion):
    assert champion.drift() == []


def test_an_upgrade_with_the_same_values_touches_no_pod(champion):
    before = uids(champion, "vllm") | uids(champion, "gateway")
    champion.upgrade(champion.settings.champion, OPTIONS)
    assert uids(champion, "vllm") | uids(champion, "gateway") == before


def test_an_upgrade_replaces_only_what_changed(champion):
    vllm, gateway = uids(champion, "vllm"), uids(champion, "gateway")
    champion.upgrade(champion.settings.champion, OPTIONS | {"gateway.logLevel": "debug"})
    assert uids(champion, "vllm") == vllm
    assert not uids(champion, "gateway") & gateway


def test_a_promotion_and_the_way_back(champion):
    before = versions(champion)
    champion.upgrade(champion.settings.challenger, OPTIONS)
    assert not versions(champion) & before
    champion.test()
    champion.helm("rollback", RELEASE, "--timeout", f"{champion.settings.timeout_s}s")
    champion.rolled_out("vllm")
    champion.rolled_out("gateway")
    assert versions(champion) == before
    champion.test()
    assert champion.drift() == []


@pytest.mark.parametrize("wrong", [{"model.version": "999999999"}, {"model.digest": "0" * 64}])
def test_a_version_that_cannot_be_had_touches_no_pod(champion, wrong):
    before = uids(champion, "vllm") | uids(champion, "gateway")
    with pytest.raises(CommandError, match="hook"):
        champion.upgrade(champion.settings.champion, OPTIONS | wrong | {"vllm.prefetch.retries": 0})
    assert uids(champion, "vllm") | uids(champion, "gateway") == before
    assert all(pod.ready for pod in champion.pods("vllm"))


def test_under_a_quota(champion):
    """Every pod, that of `helm test` and of the Job before an upgrade too, names what the quota counts."""
    champion.kubectl("apply", "-f", "-", stdin=json.dumps(QUOTA))
    try:
        champion.upgrade(champion.settings.champion, OPTIONS | {"gateway.logLevel": "warning"})
        champion.test()
    finally:
        champion.kubectl("delete", "resourcequota", RELEASE)


def test_a_drain_leaves_a_gateway(champion):
    """Evictions, as `kubectl drain` asks for them, of all gateways of before."""
    name, waiting = f"gateway of {RELEASE}", champion.pods("gateway")

    def available():
        return champion.deployment("gateway")["status"].get("availableReplicas", 0) >= 1

    for pod in waiting:
        wait_until(lambda pod=pod: champion.evict(pod.name), 600, f"{pod.name} could not be evicted")
        holds_for(available, 5, f"no {name} was available during the drain")
    wait_until(lambda: [pod.ready for pod in champion.pods("gateway")] == [True, True], 600, f"no second {name} came")
    assert not uids(champion, "gateway") & {pod.uid for pod in waiting}


def test_an_hpa_takes_over_without_losing_a_replica(cluster):
    for number, mode in enumerate(apply_modes(cluster.helm("version", "--short"))):
        flags = [mode] if mode else []
        four = OPTIONS | {"gateway.replicas": 4, "gateway.resources.requests.cpu": f"{100 + number}m"}
        cluster.upgrade(cluster.settings.champion, four, *flags)
        wait_until(
            lambda: len([pod for pod in cluster.pods("gateway") if pod.ready]) == 4, 600, "four gateways did not get ready"
        )
        before = uids(cluster, "gateway")
        lowest = [4]
        ended = threading.Event()

        def observe(lowest=lowest, ended=ended):
            while not ended.wait(0.2):
                lowest.append(cluster.deployment("gateway")["spec"]["replicas"])

        observer = threading.Thread(target=observe)
        observer.start()
        try:
            hpa = {"gateway.hpa": {"enabled": True, "minReplicas": 4, "maxReplicas": 6}}
            cluster.upgrade(cluster.settings.champion, four | hpa, *flags)
            holds_for(lambda before=before: before <= uids(cluster, "gateway"), 30, f"a gateway was lost ({mode or 'Helm 3'})")
        finally:
            ended.set()
            observer.join()
        assert min(lowest) >= 4
