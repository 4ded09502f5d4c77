"""A candidate beside the champion: what the chart makes for it, and that it leaves everything else as it is."""

import pytest
import yaml
from helm_python import HelmError

from sense import config
from tests.chart.rendering import CHAMPION, documents, find, kinds, render, values

CANARY = {"version": "4", "digest": "44" * 32, "prompt": {"schemaStyle": "ddl", "sampleValues": 2}}
FULL = "values-full.yaml"


def texts(**changes):
    return documents(values(FULL, CHAMPION, set=changes))


def test_a_canary_is_a_second_vllm_and_the_first_stays_as_it_is():
    before, after = texts(), texts(**{"model.canary": CANARY})
    changed = {name.rpartition("/")[2] for name in after if after[name] != before.get(name)}
    assert changed == {"canary.yaml", "gateway-configmap.yaml", "gateway-deployment.yaml"}
    added = set(kinds(render(FULL, set={"model.canary": CANARY}))) - set(kinds(render(FULL)))
    assert added == {
        "Deployment/release-sense-canary-vllm",
        "Service/release-sense-canary-vllm",
        "PodDisruptionBudget/release-sense-canary-vllm",
        "PersistentVolumeClaim/release-sense-canary-cache",
        "ServiceMonitor/release-sense-canary-vllm",
        "NetworkPolicy/release-sense-canary-vllm",
        "NetworkPolicy/release-sense-canary-gateway",
    }


def test_its_pods_are_its_services_alone_and_serve_the_candidate():
    manifests = render("values-one-gpu.yaml", set={"model.canary": CANARY, "vllm.canaryReplicas": 2})
    deployment, service = (find(manifests, kind, "-canary-vllm") for kind in ("Deployment", "Service"))
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["replicas"] == 2
    assert service["spec"]["selector"].items() <= labels.items()
    assert not find(manifests, "Service", "-sense-vllm")["spec"]["selector"].items() <= labels.items()
    assert labels["sense/model-version"] == "4"
    assert "sense-4" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]


def test_the_gateway_knows_both_servers_and_the_registry():
    changes = {"model.canary": CANARY, "gateway.canary": {"assign": "session", "abort": {"answers": 100}}}
    manifests = render("values-one-gpu.yaml", set={**changes, "mlflow.existingSecret": "mlflow"})
    (text,) = find(manifests, "ConfigMap", "-gateway")["data"].values()
    serve = config.validate(config.ServeConfig, yaml.safe_load(text), "serve.yaml")
    assert serve.canary.vllm.url == "http://release-sense-canary-vllm:8000"
    assert serve.canary.vllm.models["sense-4"].prompt.schema_style == "ddl"
    assert (serve.canary.assign, serve.canary.abort.answers) == ("session", 100)
    (container,) = find(manifests, "Deployment", "-gateway")["spec"]["template"]["spec"]["containers"]
    assert "MLFLOW_TRACKING_URI" in [variable["name"] for variable in container["env"]]
    assert container["envFrom"] == [{"secretRef": {"name": "mlflow"}}]


def test_a_canary_by_an_alias_is_refused():
    with pytest.raises(HelmError, match="is no version number"):
        texts(**{"model.canary": CANARY | {"version": "champion"}})
