"""What the chart makes of what runs: Helm installs and upgrades against an API that keeps what it is sent."""

import copy

import helm_python as helm
import pytest

from tests.chart.kubernetes_api import KubernetesApi
from tests.chart.rendering import CHAMPION, CHART, values

GATEWAY, VLLM = "release-sense-gateway", "release-sense-vllm"
SHARED = [{"name": "sales", "claimName": "sales", "accessMode": "ReadOnlyMany"}]
FOUR = {"gateway.feedback.enabled": False, "gateway.databases.claims": SHARED, "gateway.replicas": 4}
HPA = {"gateway.hpa": {"enabled": True, "minReplicas": 1}}
KEDA = {"vllm.keda": {"enabled": True, "prometheusAddress": "http://prometheus"}}
ON_CLAIM = {"persistence": {"enabled": True, "existingClaim": "", "accessMode": "ReadWriteMany"}}


class Cluster:
    """A release in an API, and what Helm has sent in its last action."""

    def __init__(self, api, config):
        self.api, self.config = api, config

    def upgrade(self, options, install=False):
        self.api.writes.clear()
        merged = values("values-one-gpu.yaml", CHAMPION, set=options)
        (self.config.install if install else self.config.upgrade)(str(CHART), "release", merged, timeout=600)

    def install(self, options):
        self.upgrade(options, install=True)

    def sent(self, resource, name):
        (request,) = [one for one in self.api.writes if one.target == f"PATCH {resource}/{name}"]
        return request.body

    def set(self, resource, name, **parts):
        """Changes a live object, as a controller would."""
        live = copy.deepcopy(self.api.objects[resource, name])
        for part, fields in parts.items():
            live[part] = live.get(part, {}) | fields
        self.api.store(resource, live)


@pytest.fixture
def cluster():
    with (
        KubernetesApi() as api,
        helm.Config(kubeconfig_content=api.kubeconfig, namespace="serving", storage_driver="memory") as config,
    ):
        yield Cluster(api, config)


def test_an_hpa_that_is_switched_on_takes_over_what_runs(cluster):
    cluster.install(FOUR)
    cluster.set("deployments", GATEWAY, spec={"replicas": 5})  # kubectl scale
    cluster.upgrade(FOUR | HPA)
    assert cluster.sent("deployments", GATEWAY)["spec"]["replicas"] == 5
    assert cluster.sent("horizontalpodautoscalers", GATEWAY)["spec"]["scaleTargetRef"]["name"] == GATEWAY
    cluster.set("deployments", GATEWAY, spec={"replicas": 7})  # the HPA
    cluster.upgrade(FOUR | HPA)
    assert cluster.sent("deployments", GATEWAY)["spec"]["replicas"] == 7


def test_keda_takes_over_what_runs(cluster):
    four = FOUR | {"vllm.storage.persistence.enabled": False, "vllm.replicas": 4}
    cluster.install(four)
    cluster.upgrade(four | KEDA)
    assert cluster.sent("deployments", VLLM)["spec"]["replicas"] == 4
    assert cluster.sent("scaledobjects", VLLM)["spec"]["scaleTargetRef"]["name"] == VLLM


def test_with_an_hpa_from_the_first_install_no_manifest_has_replicas(cluster):
    cluster.install(FOUR | HPA)
    assert "replicas" not in cluster.sent("deployments", GATEWAY)["spec"]
    cluster.set("deployments", GATEWAY, spec={"replicas": 6})
    cluster.upgrade(FOUR | HPA)
    assert "replicas" not in cluster.sent("deployments", GATEWAY)["spec"]
    assert cluster.api.objects["deployments", GATEWAY]["spec"]["replicas"] == 6
    cluster.upgrade(FOUR)
    assert cluster.sent("deployments", GATEWAY)["spec"]["replicas"] == 4
    assert "annotations" not in cluster.sent("deployments", GATEWAY)["metadata"] or (
        "sense/replicas" not in cluster.sent("deployments", GATEWAY)["metadata"]["annotations"]
    )


def owner(manager, operation, subresource=None):
    fields = {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    return fields | ({"subresource": subresource} if subresource else {})


HELM = owner("helm", "Apply")
SCALE = owner("kube-controller-manager", "Update", "scale")


@pytest.mark.parametrize("owners", [[], [HELM], [owner("helm", "Update")], [owner("helm", "Update"), SCALE]])
def test_replicas_are_not_dropped_while_nobody_else_owns_them(cluster, owners):
    cluster.install(FOUR)
    cluster.set("deployments", GATEWAY, metadata={"managedFields": owners})
    with pytest.raises(helm.HelmError, match=r"keepReplicas is false, but .* it would go from 4 to 1. Set it to null"):
        cluster.upgrade(FOUR | HPA | {"gateway.hpa.keepReplicas": False})
    assert cluster.api.writes == []


@pytest.mark.parametrize("other", [SCALE, owner("sense-handover", "Apply")])
def test_in_server_side_apply_replicas_may_go_once_another_owns_them(cluster, other):
    cluster.install(FOUR)
    cluster.set("deployments", GATEWAY, metadata={"managedFields": [HELM, other]})
    cluster.upgrade(FOUR | HPA | {"gateway.hpa.keepReplicas": False})
    body = cluster.sent("deployments", GATEWAY)
    assert ("replicas" in body["spec"], body["metadata"]["annotations"]["sense/replicas"]) == (False, "autoscaler")


def test_what_runs_counts_for_more_than_a_number_in_the_values(cluster):
    cluster.install(FOUR)
    cluster.upgrade(FOUR | HPA | {"gateway.hpa.keepReplicas": True, "gateway.replicas": 1})
    assert cluster.sent("deployments", GATEWAY)["spec"]["replicas"] == 4


def test_a_version_that_cannot_be_had_touches_nothing(cluster):
    cluster.install(FOUR)
    before = copy.deepcopy(cluster.api.objects)
    cluster.api.jobs_end = "Failed"
    with pytest.raises(helm.HelmError, match="pre-upgrade hooks failed: resource Job/serving/release-sense-prefetch not ready"):
        cluster.upgrade(FOUR | {"model.version": "4", "model.digest": "44" * 32})
    assert {one.name for one in cluster.api.writes} == {"release-sense-prefetch"}
    changed = {key for key in before.keys() | cluster.api.objects.keys() if before.get(key) != cluster.api.objects.get(key)}
    assert changed == {("jobs", "release-sense-prefetch")}  # it stays for its log


def test_a_first_install_of_such_a_version_makes_nothing(cluster):
    cluster.api.jobs_end = "Failed"
    with pytest.raises(helm.HelmError, match="pre-install"):
        cluster.install(FOUR)
    assert {resource for resource, _ in cluster.api.objects} == {"jobs"}


def test_the_job_needs_nothing_that_the_release_makes_later(cluster):
    """Its requests come before all others, with what it names among them."""
    cluster.install(FOUR | {"networkPolicy.enabled": True, "vllm.storage": ON_CLAIM})
    requests = [one.target for one in cluster.api.writes if one.method == "PATCH"]
    end = requests.index("PATCH jobs/release-sense-prefetch") + 1
    assert set(requests[:end]) == {
        f"PATCH {resource}/release-sense-prefetch" for resource in ("serviceaccounts", "networkpolicies", "jobs")
    }
    spec = cluster.sent("jobs", "release-sense-prefetch")["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == "release-sense-prefetch"
    assert "emptyDir" in spec["volumes"][0]  # the claim comes with the release
    assert not [one for one in cluster.api.objects if one[1] == "release-sense-prefetch"]  # nothing of a success is left


@pytest.mark.parametrize(
    ("mode", "ready", "claim", "near"),
    [
        ("ReadWriteMany", 0, True, False),
        ("ReadWriteOnce", 0, False, False),
        ("ReadWriteOnce", 1, True, True),
        ("ReadWriteOncePod", 1, False, False),
    ],
)
def test_an_upgrade_downloads_to_the_claim_if_the_job_can_mount_it(cluster, mode, ready, claim, near):
    options = FOUR | {"vllm.storage.persistence.accessMode": mode}
    cluster.install(options)
    cluster.set("deployments", VLLM, status={"readyReplicas": ready} if ready else {})
    cluster.upgrade(options | {"model.version": "4"})
    spec = cluster.sent("jobs", "release-sense-prefetch")["spec"]["template"]["spec"]
    assert ("persistentVolumeClaim" in spec["volumes"][0]) is claim
    terms = spec.get("affinity", {}).get("podAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", [])
    assert [term["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] for term in terms] == (["vllm"] if near else [])
