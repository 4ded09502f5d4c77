"""A text in the values is that text in the manifests, however much it looks like a number, a truth value or a date in YAML."""

import re

import helm_python as helm
import pytest

from tests.chart import rendering
from tests.yaml_texts import SHORT, TEXTS, read_as_go, read_as_python

LABEL_VALUES = [text for text in SHORT if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text)]
DATABASES = ["y", "n", "on", "null", "1", "08", "014", "0o14", "0x1f", "0b11", "1e5", "1e-5", "190-20", "2026-11-28"]


def deployments(options):
    """The manifests of vLLM and the gateway, and all manifests, as Go reads them."""
    merged = rendering.values("values-full.yaml", rendering.CHAMPION, set=options)
    documents = rendering.documents(merged)
    manifests = [one for path, text in documents.items() if path.endswith(".yaml") for one in read_as_go(text)]
    vllm, gateway = (rendering.find(manifests, "Deployment", suffix) for suffix in ("-vllm", "-gateway"))
    return vllm, gateway, manifests


def environment(container):
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def test_environment_arguments_annotations_and_tolerations():
    env = [{"name": f"V{number}", "value": text} for number, text in enumerate(TEXTS)]
    texts = {one["name"]: one["value"] for one in env}
    annotations = {f"example.com/{name}": text for name, text in texts.items()} | {text: text for text in LABEL_VALUES}
    tolerations = [{"key": "k", "operator": "Equal", "value": text} for text in TEXTS]
    options = {"mlflow.env": env, "vllm.extraArgs": TEXTS}
    for part in ("vllm", "gateway"):
        options |= {f"{part}.env": env, f"{part}.podAnnotations": annotations, f"{part}.tolerations": tolerations}
        options[f"{part}.serviceAccount.annotations"] = annotations
    options["gateway.service.annotations"] = annotations
    vllm, gateway, manifests = deployments(options)
    for deployment in (vllm, gateway):
        pod = rendering.pod(deployment)
        assert texts.items() <= environment(pod["containers"][0]).items()
        assert pod["tolerations"] == tolerations
        assert annotations.items() <= deployment["spec"]["template"]["metadata"]["annotations"].items()
    assert texts.items() <= environment(rendering.pod(vllm)["initContainers"][0]).items()
    assert rendering.pod(vllm)["containers"][0]["args"][-len(TEXTS) :] == TEXTS
    assert rendering.find(manifests, "Service", "-gateway")["metadata"]["annotations"] == annotations
    for account in (one for one in manifests if one["kind"] == "ServiceAccount"):
        assert annotations.items() <= account["metadata"]["annotations"].items()


def test_labels_and_node_selectors():
    labels = {text: text for text in LABEL_VALUES}
    options = {"commonLabels": labels}
    for part in ("vllm", "gateway"):
        options |= {f"{part}.nodeSelector": labels, f"{part}.podLabels": labels}
    vllm, gateway, manifests = deployments(options)
    for deployment in (vllm, gateway):
        assert rendering.pod(deployment)["nodeSelector"] == labels
        assert labels.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    for manifest in manifests:
        assert labels.items() <= manifest["metadata"]["labels"].items()


def test_names_of_databases_secrets_and_keys():
    """The gateway reads its own configuration with PyYAML."""
    urls = [{"name": name, "secret": name, "key": name} for name in DATABASES]
    _, gateway, manifests = deployments({"gateway.databases.urls": urls})
    references = [
        one["valueFrom"]["secretKeyRef"] for one in rendering.pod(gateway)["containers"][0]["env"] if "valueFrom" in one
    ]
    assert [{"name": name, "key": name} for name in DATABASES] == references[-len(DATABASES) :]
    text = rendering.find(manifests, "ConfigMap", "-gateway")["data"]["serve.yaml"]
    (config,) = read_as_python(text)
    assert config["databases"]["urls"].keys() == set(DATABASES)
    assert read_as_go(text) == [config]


@pytest.mark.parametrize("character", ["\x7f", "\x85", "\x9f"])
def test_control_characters_that_helm_loses_are_refused(character):
    with pytest.raises(helm.HelmError, match=r"U\+007F to U\+009F.*remove the one in"):
        deployments({"gateway.env": [{"name": "A", "value": f"word{character}b"}]})
