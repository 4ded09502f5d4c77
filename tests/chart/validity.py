"""Whether Kubernetes would take a manifest; a misspelt key is an error."""

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
from referencing import Registry, Resource

KUBERNETES = "1.36"
CRDS = Path(__file__).parent / "crds"


@functools.cache
def _custom() -> dict[str, Any]:
    return {file.name: json.loads(file.read_text()) for file in CRDS.glob("*.json")}


def check(manifest: dict[str, Any]) -> None:
    """Against Kubernetes' own schema, or the vendored one of a custom resource; raises ValidationError."""
    _check(json.dumps(manifest))  # most manifests are the same in many renderings: once is enough


@functools.cache
def _check(text: str) -> None:
    manifest = json.loads(text)
    schema = _custom().get(f"{manifest['kind'].lower()}.json")
    if schema is None:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    else:
        registry = Registry().with_resources((name, Resource.from_contents(one)) for name, one in _custom().items())
        jsonschema.Draft7Validator(schema, registry=registry).validate(manifest)
        if manifest["kind"] == "InferenceService":
            kubernetes_validate.validate(_predictor_pod(manifest), KUBERNETES, strict=True)


def _predictor_pod(manifest: dict[str, Any]) -> dict[str, Any]:
    """The pod that KServe makes of a predictor: its keys are a pod's, beside KServe's own."""
    predictor = manifest["spec"]["predictor"]
    own = _custom()["inferenceservice.json"]["properties"]["spec"]["properties"]["predictor"]["properties"].keys() - {
        "containers"
    }
    metadata = {"name": manifest["metadata"]["name"], "labels": predictor["labels"], "annotations": predictor["annotations"]}
    spec = {key: value for key, value in predictor.items() if key not in own}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
