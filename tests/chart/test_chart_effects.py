"""No option of values.yaml is without effect: each is changed, and the manifests must change."""

import functools

import pytest
import yaml

from tests.chart.rendering import CHAMPION, CHART, documents, values


def leaves(value, path=()):
    """Every key that holds no further keys, as a dotted path, and its value."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield ".".join(path), value


DEFAULTS = dict(leaves(yaml.safe_load((CHART / "values.yaml").read_text())))
CANARY = {"version": "9", "digest": "99" * 32, "prompt": {"schemaStyle": "compact", "sampleValues": 0}}
# what to set where a flipped switch, the next number or another word would be refused or change nothing
OTHER = {
    "commonLabels": {"a": "b"},
    "imagePullSecrets": ["other"],
    "images.pullPolicy": "Always",
    "model.prompt.schemaStyle": "ddl",
    "model.prompt.target": "linked",
    "model.previous": None,
    "model.canary": CANARY,
    "gateway.canary": {"assign": "key"},
    "model.digest": "ab" * 32,
    "model.version": "7",
    "mlflow.trackingUri": "http://other",
    "mlflow.env": [],
    "output": "kserve",
    "modelSource.kind": "uri",
    "modelSource.uri": "gs://models/other/3",
    "modelSource.image.reference": f"other@sha256:{'b' * 64}",
    "inferencePool.endpointPicker.failureMode": "FailOpen",
    "inferencePool.parentRefs": [{"name": "other"}],
    "inferencePool.hostnames": [],
    "vllm.command": ["other"],
    "vllm.gpuMemoryUtilization": 0.5,
    "vllm.dtype": "half",
    "vllm.maxModelLen": 9,
    "vllm.lora.maxRank": 64,
    "vllm.lora.adapters": [],
    "vllm.gpu.resource": "amd.com/gpu",
    "vllm.gpu.count": 2,
    "vllm.tensorParallelSize": 2,
    "vllm.keda.prometheusAddress": "http://other",
    "vllm.pdb.maxUnavailable": 2,
    "vllm.affinity": {"podAffinity": {}},
    "gateway.affinity": {"podAffinity": {}},
    "gateway.databases.claims": [],
    "gateway.databases.urls": [],
    "gateway.logLevel": "debug",
    "gateway.generation": {"seed": 5},
    "vllm.resources.limits.memory": "33Gi",
    "vllm.download.resources.limits.memory": "5Gi",
    "gateway.resources.limits.memory": "7Gi",
    "gateway.strategy": {"type": "Recreate"},
    "ingress.annotations": {"a": "b"},
    "httpRoute.parentRefs": [{"name": "other"}],
    "httpRoute.hostnames": [],
    "httpRoute.timeout": "99s",
    "networkPolicy.clients": [],
    "networkPolicy.vllmClients": [{"podSelector": {}}],
    "networkPolicy.mlflowPort": 9,
    "networkPolicy.prometheus": [{"podSelector": {}}],
    "networkPolicy.dns": [],
    "networkPolicy.mlflow": [],
    "networkPolicy.artifacts": [],
    "networkPolicy.databases": [{"to": [{"podSelector": {}}]}],
    "test.question": "Why?",
    "test.resources.limits.memory": "5Gi",
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}],
    "vllm.extraVolumes": [{"name": "extra", "configMap": {"name": "other"}}],
    "gateway.extraVolumes": [{"name": "extra", "configMap": {"name": "other"}}],
}
VOLUME, MOUNTED = [{"name": "extra", "emptyDir": {}}], [{"name": "extra", "mountPath": "/extra"}]
BY_NAME = {
    "digest": "sha256:" + "a" * 64,
    "repository": "registry.example.com/other",
    "extraEnv": [{"name": "X", "value": "y"}],
    "extraVolumeMounts": [{"name": "extra", "mountPath": "/other"}],
    "whenUnsatisfiable": "DoNotSchedule",
    "interval": "9s",
    "scrapeTimeout": "9s",
    "env": [{"name": "X", "value": "y"}],
    "extraArgs": ["--x"],
    "tolerations": [{"operator": "Exists"}],
    **dict.fromkeys(("size", "shmSize", "cacheSize", "sizeLimit", "memory", "cpu", "ephemeral-storage"), "3"),
}
INGRESS = {"httpRoute.enabled": False, "ingress.enabled": True, "ingress.host": "h"}
SOURCES = {
    "uri": {"modelSource.kind": "uri", "modelSource.uri": "gs://models/a/3", "modelSource.keyFile.existingSecret": "google"},
    "claim": {"modelSource.kind": "claim", "modelSource.claim.name": "a", "modelSource.claim.accessMode": "ReadOnlyMany"},
    "image": {"modelSource.kind": "image", "modelSource.image.reference": f"a@sha256:{'a' * 64}"},
}
# where an option shows
WHERE = {
    "vllm.replicas": {"vllm.keda.enabled": False},
    "vllm.canaryReplicas": {"model.canary": CANARY},
    "gateway.canary": {"model.canary": CANARY},
    "vllm.cpuKvCacheGiB": {"vllm.gpu.count": 0},
    "vllm.prefetch.toClaim": {"vllm.storage.persistence.existingClaim": "models"},
    "vllm.cacheSize": {"vllm.cachePersistence.enabled": False},
    "vllm.storage.sizeLimit": {"vllm.storage.persistence.enabled": False},
    "gateway.limits.execution.workers": {"gateway.resources.limits.memory": "8Gi"},
    "gateway.replicas": {"gateway.hpa.enabled": False},
    **{f"modelSource.{key}": SOURCES["uri"] for key in ("uri", "existingSecret", "env", "keyFile.existingSecret", "keyFile.key")},
    **{f"modelSource.claim.{key}": SOURCES["claim"] for key in ("name", "path")},
    **{f"modelSource.image.{key}": SOURCES["image"] for key in ("reference", "path")},
    **{f"ingress.{key}": INGRESS for key in ("className", "annotations", "host", "tlsSecret")},
}
# what must change with it
ALONG = {
    "modelSource.kind": {"modelSource.uri": "s3://models/a"},
    "inferencePool.enabled": {"inferencePool.parentRefs": [], "inferencePool.hostnames": []},
    "vllm.gpu.count": {"vllm.tensorParallelSize": 2},
    "vllm.tensorParallelSize": {"vllm.gpu.count": 2},
    "ingress.enabled": INGRESS,
    "caBundle.secret": {"caBundle.configMap": ""},
    "vllm.extraVolumes": {"vllm.extraVolumeMounts": MOUNTED},
    "vllm.extraVolumeMounts": {"vllm.extraVolumes": VOLUME},
    "vllm.download.extraVolumeMounts": {"vllm.extraVolumes": VOLUME},
    "gateway.extraVolumes": {"gateway.extraVolumeMounts": MOUNTED},
    "gateway.extraVolumeMounts": {"gateway.extraVolumes": VOLUME},
}
# tests of their own show them: with everything on, only their default is allowed
ELSEWHERE = {
    "vllm.cachePersistence.accessMode",
    "vllm.storage.persistence.accessMode",
    "gateway.feedback.accessMode",
    "vllm.strategy.type",
    "modelSource.claim.accessMode",
}


def another(path, now):
    """A value that differs from the one in use."""
    name = path.rpartition(".")[2]
    if path in OTHER:
        return OTHER[path]
    if name in BY_NAME:
        return BY_NAME[name]
    if isinstance(now, bool):
        return not now
    if isinstance(now, int):
        return now + 1
    return "other" if isinstance(now, str) else {"other": "x"}


@pytest.mark.parametrize("path", sorted(DEFAULTS.keys() - ELSEWHERE))
def test_no_option_is_without_effect(path):
    before = values("values-full.yaml", CHAMPION, set=WHERE.get(path))
    now = functools.reduce(lambda inner, key: inner.get(key, {}), path.split("."), before)
    change = {**WHERE.get(path, {}), **ALONG.get(path, {}), path: another(path, DEFAULTS[path] if now == {} else now)}
    assert documents(values("values-full.yaml", CHAMPION, set=change)) != documents(before)
