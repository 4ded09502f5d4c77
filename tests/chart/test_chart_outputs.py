"""The same values as an InferenceService of KServe, and with an InferencePool: valid, and otherwise the same release."""

import helm_python as helm
import pytest

from tests.chart.rendering import CHAMPION, EXAMPLES, documents, find, kinds, pod, render, values
from tests.chart.validity import check

FULL, ONE = "values-full.yaml", "values-one-gpu.yaml"
FILES = sorted(file.name for file in EXAMPLES.glob("values-*.yaml"))
KSERVE = {"output": "kserve"}


@pytest.mark.parametrize("file", FILES)
def test_kserve_runs_the_pod_that_the_deployment_would(file):
    before, after = render(file), render(file, set=KSERVE)
    for manifest in after:
        check(manifest)
    deployment, service = find(before, "Deployment", "-vllm"), find(after, "InferenceService", "-isvc")
    predictor = service["spec"]["predictor"]
    expected = pod(deployment)
    expected["containers"][0]["name"] = "kserve-container"
    assert {key: predictor[key] for key in expected} == expected
    template = deployment["spec"]["template"]["metadata"]
    assert {key: predictor[key] for key in ("labels", "annotations")} == template
    assert predictor["deploymentStrategy"] == deployment["spec"]["strategy"]
    same = [
        [one for one in kinds(manifests) if not one.startswith(("Deployment", "InferenceService"))]
        for manifests in (before, after)
    ]
    assert same[0] == same[1]
    assert find(after, "Deployment")["metadata"]["name"] == "release-sense-gateway"
    assert find(before, "Service", "-vllm")["spec"]["selector"].items() <= predictor["labels"].items()


def test_replicas_are_fixed_or_keda_s():
    service = find(render(ONE, set=KSERVE | {"vllm.replicas": 1}), "InferenceService")
    assert service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "none"
    assert [service["spec"]["predictor"][key] for key in ("minReplicas", "maxReplicas")] == [1, 1]
    manifests = render(FULL, set=KSERVE)
    service = find(manifests, "InferenceService")
    assert service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "external"
    assert [service["spec"]["predictor"][key] for key in ("minReplicas", "maxReplicas")] == [2, 6]
    target = find(manifests, "ScaledObject")["spec"]["scaleTargetRef"]
    assert target["name"] == f"{service['metadata']['name']}-predictor"  # as KServe names the Deployment
    assert len(target["name"]) <= 63


def test_kserve_is_told_of_no_version_of_the_chart():
    """It copies labels to the pods, which every new version of the chart would restart."""
    labels = find(render(FULL, set=KSERVE), "InferenceService")["metadata"]["labels"]
    assert not labels.keys() & {"helm.sh/chart", "app.kubernetes.io/version"}
    assert labels["team"] == "data-platform"


@pytest.mark.parametrize("output", ["deployment", "kserve"])
def test_the_pool_holds_the_pods_of_vllm_at_their_port(output):
    manifests = render(FULL, set={"output": output, "vllm.port": 8011})
    pool = find(manifests, "InferencePool")["spec"]
    assert pool["selector"]["matchLabels"] == find(manifests, "Service", "-vllm")["spec"]["selector"]
    assert pool["targetPorts"] == [{"number": 8011}]
    assert pool["endpointPickerRef"] == {"name": "sense-endpoint-picker", "port": {"number": 9002}, "failureMode": "FailClose"}
    route = find(manifests, "HTTPRoute", "-vllm")["spec"]
    assert route["hostnames"] == ["vllm.example.com"]
    (backend,) = route["rules"][0]["backendRefs"]
    assert (backend["kind"], backend["name"]) == ("InferencePool", find(manifests, "InferencePool")["metadata"]["name"])


def test_without_a_gateway_there_is_a_pool_and_no_route():
    manifests = render(FULL, set={"inferencePool.parentRefs": [], "inferencePool.hostnames": []})
    assert [one for one in kinds(manifests) if one.startswith(("InferencePool", "HTTPRoute"))] == [
        "HTTPRoute/release-sense-gateway",
        "InferencePool/release-sense-vllm",
    ]


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        (ONE, {"inferencePool.enabled": True}, "inferencePool.enabled without inferencePool.endpointPicker.name"),
        (
            ONE,
            {"inferencePool.parentRefs": [{"name": "a"}]},
            "inferencePool.parentRefs is set, but inferencePool.enabled is false",
        ),
        (FULL, {"inferencePool.parentRefs": []}, "inferencePool.hostnames without inferencePool.parentRefs"),
        (
            FULL,
            {"networkPolicy.vllmClients": [], "vllm.lora.adapters": []},
            "networkPolicy.vllmClients is empty: neither the Gateway nor the endpoint picker",
        ),
        (ONE, {"output": "knative"}, "/output"),
        (ONE, {"inferencePool.endpointPicker.failureMode": "Fail"}, "/inferencePool/endpointPicker/failureMode"),
    ],
)
def test_outputs_that_make_no_sense_are_refused(file, changes, message):
    with pytest.raises(helm.HelmError) as error:
        documents(values(file, CHAMPION, set=changes))
    assert message in str(error.value)
