"""The manifests of a training on several nodes: a TrainingRuntime and a TrainJob of Kubeflow Trainer v2 that uses it.

The runtime is what a node looks like, the job what runs there. Both are written when the pipeline is compiled, without a name: a
task of the pipeline names them, creates them and waits (sense.kubeflow.nodes).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sense.config import ClusterConfig, NodeRequirementConfig, Params, TaskConfig

GROUP, VERSION = "trainer.kubeflow.org", "v1alpha1"
RUNTIMES, JOBS = "trainingruntimes", "trainjobs"  # as the API's paths call them
MODULE = "sense.kubeflow.node"
# Where Python's ssl and httpx, requests (MLflow), boto (S3) and curl look for the certificates to trust.
AUTHORITIES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "CURL_CA_BUNDLE")
_RESTARTS = 3  # of all pods together, when one of them is lost
_NODE = "node"  # Trainer finds the pods and the container to train in by this name
_API = f"{GROUP}/{VERSION}"
_PART_OF = {"app.kubernetes.io/part-of": "sense"}


def manifests(task: str, params: Params) -> dict[str, Any]:
    """{"runtime": ..., "job": ...} for the training `task` (sft, weak or dpo), as its resources and the cluster's section say."""
    resources, cluster = params.resources.of(task), params.cluster
    labels = _PART_OF | {"app.kubernetes.io/component": task} | cluster.labels
    runtime = {
        "apiVersion": _API,
        "kind": "TrainingRuntime",
        "metadata": {"labels": labels | {f"{GROUP}/framework": "torch"}},
        "spec": {
            "mlPolicy": {"numNodes": resources.nodes, "torch": {}},
            "template": {
                "spec": {
                    "failurePolicy": {"maxRestarts": _RESTARTS},
                    "replicatedJobs": [_replicated_job(labels | resources.labels, resources, cluster)],
                }
            },
        },
    }
    amounts = {"cpu": resources.cpu, "memory": resources.memory}
    if resources.gpus:
        amounts[resources.accelerator] = str(resources.gpus)
    job = {
        "apiVersion": _API,
        "kind": "TrainJob",
        "metadata": {"labels": labels | resources.pod_labels()},  # Kueue's too: it admits all pods of the job together
        "spec": {
            "runtimeRef": {"apiGroup": GROUP, "kind": "TrainingRuntime"},
            "trainer": {
                "image": cluster.image,
                "numNodes": resources.nodes,
                "numProcPerNode": max(1, resources.gpus),
                "command": ["torchrun"],
                "args": ["-m", MODULE],
                "env": _environment(cluster),
                "resourcesPerNode": {"requests": amounts, "limits": amounts},
            },
        },
    }
    return {"runtime": runtime, "job": job}


def _replicated_job(labels: Mapping[str, str], resources: TaskConfig, cluster: ClusterConfig) -> dict[str, Any]:
    metadata: dict[str, Any] = {"labels": dict(labels)}
    if resources.annotations:
        metadata["annotations"] = dict(resources.annotations)
    return {
        "name": _NODE,
        "template": {
            "metadata": {"labels": {f"{GROUP}/trainjob-ancestor-step": "trainer"}},
            "spec": {
                "backoffLimit": 0,  # a pod cannot restart alone: the others wait in a collective operation
                "template": {"metadata": metadata, "spec": _pod(resources, cluster)},
            },
        },
    }


def _pod(resources: TaskConfig, cluster: ClusterConfig) -> dict[str, Any]:
    volumes, mounts = _volumes(resources, cluster)
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": cluster.run_as_user,
            "runAsGroup": cluster.run_as_group,
            "fsGroup": cluster.run_as_group,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": _NODE,
                "image": cluster.image,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }
    if cluster.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in cluster.image_pull_secrets]
    if resources.node_selector:
        pod["nodeSelector"] = dict(resources.node_selector)
    if resources.tolerations:
        pod["tolerations"] = [toleration.model_dump(exclude_none=True) for toleration in resources.tolerations]
    if resources.node_affinity:
        pod["affinity"] = {"nodeAffinity": _node_affinity(resources.node_affinity)}
    return pod


def _node_affinity(rules: Sequence[NodeRequirementConfig]) -> dict[str, Any]:
    """All rules without a weight in one term, as terms are alternatives; each with a weight in one of its own."""
    required, preferred = [], []
    for rule in rules:
        expression: dict[str, Any] = {"key": rule.key, "operator": rule.operator}
        if rule.values:
            expression["values"] = list(rule.values)
        if rule.weight is None:
            required.append(expression)
        else:
            preferred.append({"weight": rule.weight, "preference": {"matchExpressions": [expression]}})
    affinity: dict[str, Any] = {}
    if required:
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [{"matchExpressions": required}]}
    if preferred:
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    return affinity


def _volumes(resources: TaskConfig, cluster: ClusterConfig) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The volumes of a pod, and where its container mounts them."""
    volumes: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"name": "tmp", "emptyDir": {}}, {"name": "tmp", "mountPath": "/tmp"})  # noqa: S108
    ]
    if cluster.checkpoints and cluster.checkpoints.claim:
        volumes.append(_claim("checkpoints", cluster.checkpoints.claim, cluster.checkpoints.path))
    if cluster.weights:
        volumes.append(_claim("weights", cluster.weights.claim, cluster.weights.path))
    if resources.shm:
        memory = {"medium": "Memory", "sizeLimit": resources.shm}
        volumes.append(({"name": "shm", "emptyDir": memory}, {"name": "shm", "mountPath": "/dev/shm"}))  # noqa: S108
    if cluster.authorities:
        source = {"name": "authorities", "configMap": {"name": cluster.authorities.config_map}}
        volumes.append((source, {"name": "authorities", "mountPath": cluster.authorities.path, "readOnly": True}))
    return [volume for volume, _ in volumes], [mount for _, mount in volumes]


def _claim(name: str, claim: str, path: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim}}, {"name": name, "mountPath": path}


def _environment(cluster: ClusterConfig) -> list[dict[str, Any]]:
    """The environment of the pipeline's tasks: values of the profile, and references to secrets and config maps."""
    values: dict[str, str] = {}
    if cluster.checkpoints and cluster.checkpoints.path:
        values["SENSE_WORK"] = f"{cluster.checkpoints.path}/work"
    if cluster.weights:
        values["HF_HUB_CACHE"] = cluster.weights.path
    if cluster.authorities:
        values |= dict.fromkeys(AUTHORITIES, f"{cluster.authorities.path}/{cluster.authorities.key}")
    values |= cluster.env
    references = [
        {"name": variable, "valueFrom": {kind: {"name": source, "key": key, "optional": True}}}
        for kind, sources in (("secretKeyRef", cluster.secrets), ("configMapKeyRef", cluster.config_maps))
        for source, keys in sorted(sources.items())
        for key, variable in keys.items()
    ]
    return [*({"name": name, "value": value} for name, value in sorted(values.items())), *references]
