"""What each option does to the manifests; one row an option."""

import pytest
import yaml

from tests.chart import rendering
from tests.chart.rendering import find, kinds, pod, render
from tests.chart.validity import check

ONE = "values-one-gpu.yaml"
CPU = "values-cpu.yaml"
FULL = "values-full.yaml"
PARALLEL = "values-tensor-parallel.yaml"


def reach(value, path):
    """The part of a manifest at a path: keys and positions, and NAME of [{name: NAME, ...}] as =NAME."""
    for step in path:
        if isinstance(step, str) and step.startswith("="):
            (value,) = [one for one in value if one["name"] == step[1:]]
        else:
            value = value[step]
    return value


VLLM, GATEWAY = ("Deployment", "-vllm"), ("Deployment", "-gateway")
POD = ("spec", "template", "spec")
MAIN = (*POD, "containers", 0)
FETCH = (*POD, "initContainers", 0)
META = ("spec", "template", "metadata")
SALES, READ_MANY = {"name": "sales", "claimName": "sales-databases"}, {"accessMode": "ReadOnlyMany"}
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
AFFINITY = {
    "nodeAffinity": {
        PREFERRED: [{"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}}]
    },
    "podAntiAffinity": {
        PREFERRED: [{"weight": 9, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}}]
    },
}
PREFETCH = ("Job", "-prefetch")
EXTRA = {"name": "extra", "configMap": {"name": "c"}}
MOUNT = {"name": "extra", "mountPath": "/etc/extra", "readOnly": True}
ENDPOINT = (("ServiceMonitor", "-vllm"), ("spec", "endpoints", 0))
DASHBOARD = (("ConfigMap", "-dashboard"), ("metadata", "labels", "grafana_dashboard"))


@pytest.mark.parametrize(
    ("file", "options", "where", "path", "expected"),
    [
        # names, labels, images
        (ONE, {"commonLabels": {"team": "x"}}, VLLM, ("metadata", "labels", "team"), "x"),
        (ONE, {"commonLabels": {"team": "x"}}, GATEWAY, (*META, "labels", "team"), "x"),
        (ONE, {"nameOverride": "sql"}, ("Service", "-vllm"), ("metadata", "name"), "release-sql-vllm"),
        (ONE, {"fullnameOverride": "sql"}, ("Service", "-vllm"), ("metadata", "name"), "sql-vllm"),
        (ONE, {"imagePullSecrets": ["a", "b"]}, VLLM, (*POD, "imagePullSecrets"), [{"name": "a"}, {"name": "b"}]),
        (ONE, {"imagePullSecrets": ["a"]}, ("Pod", "-test"), ("spec", "imagePullSecrets"), [{"name": "a"}]),
        (ONE, {"images.pullPolicy": "Always"}, GATEWAY, (*MAIN, "imagePullPolicy"), "Always"),
        (ONE, {}, VLLM, (*MAIN, "image"), "docker.io/vllm/vllm-openai:v0.32.0"),
        (ONE, {}, VLLM, (*FETCH, "image"), "registry.example.com/sense-train:0.1.0"),
        (ONE, {}, GATEWAY, (*MAIN, "image"), "registry.example.com/sense-gateway:0.1.0"),
        (ONE, {"images.vllm.repository": "r.example.com:5000/vllm"}, VLLM, (*MAIN, "image"), "r.example.com:5000/vllm:v0.32.0"),
        (ONE, {"images.gateway.tag": "0.2.0"}, GATEWAY, (*MAIN, "image"), "registry.example.com/sense-gateway:0.2.0"),
        (
            ONE,
            {"images.vllm.digest": "sha256:" + "a" * 64},
            VLLM,
            (*MAIN, "image"),
            "docker.io/vllm/vllm-openai:v0.32.0@sha256:" + "a" * 64,
        ),
        # the version
        (ONE, {}, VLLM, (*META, "labels", "sense/model-version"), "3"),
        (ONE, {}, VLLM, (*META, "annotations", "sense/model-version"), "3"),
        (ONE, {"model.digest": "ab" * 32}, VLLM, (*META, "annotations", "sense/model-digest"), "ab" * 32),
        (ONE, {"model.digest": "ab" * 32}, VLLM, (*META, "labels", "sense/model-digest"), "abababababab"),
        # where models come from
        (ONE, {}, VLLM, (*FETCH, "env", "=MLFLOW_TRACKING_URI", "value"), "http://mlflow.mlops.svc:5000"),
        (ONE, {"mlflow.existingSecret": "s"}, VLLM, (*FETCH, "envFrom"), [{"secretRef": {"name": "s"}}]),
        (ONE, {"mlflow.env": [{"name": "X", "value": "y"}]}, VLLM, (*FETCH, "env", "=X", "value"), "y"),
        (ONE, {"vllm.download.resources": {"limits": {"memory": "1Gi"}}}, VLLM, (*FETCH, "resources", "limits", "memory"), "1Gi"),
        # vLLM's pod
        (ONE, {"vllm.replicas": 0}, VLLM, ("spec", "replicas"), 0),
        (ONE, {}, VLLM, ("spec", "strategy", "rollingUpdate"), {"maxSurge": 0, "maxUnavailable": 1}),
        (ONE, {"vllm.strategy": {"type": "Recreate", "rollingUpdate": None}}, VLLM, ("spec", "strategy"), {"type": "Recreate"}),
        (ONE, {"vllm.progressDeadlineSeconds": 60}, VLLM, ("spec", "progressDeadlineSeconds"), 60),
        (ONE, {"vllm.command": ["a", "b"]}, VLLM, (*MAIN, "command"), ["a", "b"]),
        (ONE, {"vllm.port": 9000}, VLLM, (*MAIN, "ports", 0, "containerPort"), 9000),
        (ONE, {"vllm.port": 9000}, ("Service", "-vllm"), ("spec", "ports", 0, "port"), 9000),
        (ONE, {"vllm.startupSeconds": 95}, VLLM, (*MAIN, "startupProbe", "failureThreshold"), 10),
        (ONE, {"vllm.preStopSeconds": 7}, VLLM, (*MAIN, "lifecycle", "preStop", "sleep", "seconds"), 7),
        (ONE, {"vllm.shutdownTimeoutSeconds": 300}, VLLM, (*POD, "terminationGracePeriodSeconds"), 325),
        (
            ONE,
            {},
            VLLM,
            (*MAIN, "resources"),
            {
                "requests": {"cpu": "4", "memory": "32Gi", "ephemeral-storage": "10Gi", "nvidia.com/gpu": 1},
                "limits": {"memory": "32Gi", "nvidia.com/gpu": 1},
            },
        ),
        (
            ONE,
            {"vllm.gpu": {"resource": "amd.com/gpu", "count": 2}, "vllm.tensorParallelSize": 2},
            VLLM,
            (*MAIN, "resources", "limits"),
            {"memory": "32Gi", "amd.com/gpu": 2},
        ),
        (
            CPU,
            {},
            VLLM,
            (*MAIN, "resources"),
            {"requests": {"cpu": "1", "memory": "3Gi", "ephemeral-storage": "1Gi"}, "limits": {"memory": "6Gi"}},
        ),
        (CPU, {"vllm.cpuKvCacheGiB": 3}, VLLM, (*MAIN, "env", "=VLLM_CPU_KVCACHE_SPACE", "value"), "3"),
        (ONE, {"vllm.env": [{"name": "HF_HUB_OFFLINE", "value": "0"}]}, VLLM, (*MAIN, "env", "=HF_HUB_OFFLINE", "value"), "0"),
        (
            ONE,
            {"vllm.apiKey": {"existingSecret": "s", "key": "k"}},
            VLLM,
            (*MAIN, "env", "=VLLM_API_KEY", "valueFrom", "secretKeyRef"),
            {"name": "s", "key": "k"},
        ),
        (
            ONE,
            {"vllm.apiKey": {"existingSecret": "s", "key": "k"}},
            GATEWAY,
            (*MAIN, "env", "=VLLM_API_KEY", "valueFrom", "secretKeyRef"),
            {"name": "s", "key": "k"},
        ),
        (ONE, {"vllm.shmSize": "1Gi"}, VLLM, (*POD, "volumes", "=shm", "emptyDir"), {"medium": "Memory", "sizeLimit": "1Gi"}),
        (ONE, {}, VLLM, (*MAIN, "volumeMounts", "=shm", "mountPath"), "/dev/shm"),
        (ONE, {"vllm.cacheSize": "1Gi"}, VLLM, (*POD, "volumes", "=cache", "emptyDir", "sizeLimit"), "1Gi"),
        (CPU, {"vllm.storage.sizeLimit": "9Gi"}, VLLM, (*POD, "volumes", "=models", "emptyDir", "sizeLimit"), "9Gi"),
        (ONE, {}, VLLM, (*POD, "volumes", "=models", "persistentVolumeClaim", "claimName"), "release-sense-models"),
        (
            ONE,
            {"vllm.storage.persistence.existingClaim": "mine"},
            VLLM,
            (*POD, "volumes", "=models", "persistentVolumeClaim", "claimName"),
            "mine",
        ),
        (ONE, {}, VLLM, (*MAIN, "volumeMounts", "=models"), {"name": "models", "mountPath": "/models", "readOnly": True}),
        (
            ONE,
            {"vllm.storage.persistence.storageClass": "fast"},
            ("PersistentVolumeClaim", "-models"),
            ("spec",),
            {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": {"requests": {"storage": "100Gi"}}},
        ),
        (ONE, {"vllm.runtimeClassName": "nvidia"}, VLLM, (*POD, "runtimeClassName"), "nvidia"),
        (
            ONE,
            {"vllm.podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}},
            VLLM,
            (*POD, "securityContext"),
            {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        ),
        (ONE, {"vllm.nodeSelector": {"gpu": "yes"}}, VLLM, (*POD, "nodeSelector"), {"gpu": "yes"}),
        (ONE, {"vllm.priorityClassName": "high"}, VLLM, (*POD, "priorityClassName"), "high"),
        (ONE, {"vllm.affinity": {"podAffinity": {}}}, VLLM, (*POD, "affinity"), {"podAffinity": {}}),
        (ONE, {"vllm.affinity": AFFINITY}, VLLM, (*POD, "affinity"), AFFINITY),
        (ONE, {"vllm.podLabels": {"a": "b"}}, VLLM, (*META, "labels", "a"), "b"),
        (ONE, {"vllm.podAnnotations": {"a": "b"}}, VLLM, (*META, "annotations", "a"), "b"),
        (ONE, {}, VLLM, (*POD, "tolerations", 0, "key"), "nvidia.com/gpu"),
        (
            ONE,
            {"vllm.topologySpread": {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}},
            VLLM,
            (*POD, "topologySpreadConstraints", 0, "topologyKey"),
            "zone",
        ),
        (ONE, {"vllm.pdb.maxUnavailable": "50%"}, ("PodDisruptionBudget", "-vllm"), ("spec", "maxUnavailable"), "50%"),
        (ONE, {"vllm.serviceAccount.name": "other"}, VLLM, (*POD, "serviceAccountName"), "other"),
        (ONE, {"vllm.serviceAccount.create": False}, VLLM, (*POD, "serviceAccountName"), "default"),
        (
            ONE,
            {"vllm.serviceAccount.annotations": {"a": "b"}},
            ("ServiceAccount", "-vllm"),
            ("metadata", "annotations"),
            {"a": "b"},
        ),
        # KEDA
        (FULL, {}, ("ScaledObject", ""), ("spec", "minReplicaCount"), 2),
        (FULL, {"vllm.keda.threshold": 9}, ("ScaledObject", ""), ("spec", "triggers", 0, "metadata", "threshold"), "9"),
        (
            FULL,
            {"model.name": "a.b"},
            ("ScaledObject", ""),
            ("spec", "triggers", 0, "metadata", "query"),
            'sum(vllm:num_requests_waiting{namespace="serving",model_name=~"a[.]b-[0-9]+"})',
        ),
        (FULL, {}, ("ScaledObject", ""), ("spec", "triggers", 0, "authenticationRef", "name"), "prometheus"),
        # the gateway
        (ONE, {}, GATEWAY, ("spec", "strategy"), {"type": "Recreate"}),
        (
            ONE,
            {"gateway.feedback.enabled": False, "gateway.replicas": 3, "gateway.databases.claims": [SALES | READ_MANY]},
            GATEWAY,
            ("spec", "strategy"),
            {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        ),
        (ONE, {"gateway.feedback.enabled": False}, GATEWAY, ("spec", "strategy"), {"type": "Recreate"}),
        (PARALLEL, {}, GATEWAY, ("spec", "strategy", "type"), "RollingUpdate"),
        (
            PARALLEL,
            {"gateway.replicas": 1, "gateway.databases.claims": [SALES]},
            GATEWAY,
            ("spec", "strategy", "type"),
            "Recreate",
        ),
        (
            ONE,
            {
                "gateway.feedback.accessMode": "ReadWriteMany",
                "gateway.databases.claims": [SALES | READ_MANY],
                "gateway.strategy": {"type": "RollingUpdate"},
            },
            GATEWAY,
            ("spec", "strategy"),
            {"type": "RollingUpdate"},
        ),
        (ONE, {"gateway.port": 9090}, GATEWAY, (*MAIN, "ports", 0, "containerPort"), 9090),
        (ONE, {"gateway.service.port": 8000}, ("Service", "-gateway"), ("spec", "ports", 0, "port"), 8000),
        (ONE, {"gateway.service.annotations": {"a": "b"}}, ("Service", "-gateway"), ("metadata", "annotations"), {"a": "b"}),
        (
            ONE,
            {"gateway.keys": {"existingSecret": "s", "key": "k"}},
            GATEWAY,
            (*MAIN, "env", "=SENSE_GATEWAY_KEYS", "valueFrom", "secretKeyRef"),
            {"name": "s", "key": "k"},
        ),
        (ONE, {"gateway.env": [{"name": "TZ", "value": "UTC"}]}, GATEWAY, (*MAIN, "env", "=TZ", "value"), "UTC"),
        (ONE, {"gateway.limits": {"request_s": 90.5}}, GATEWAY, (*POD, "terminationGracePeriodSeconds"), 111),
        (
            ONE,
            {"gateway.feedback.existingClaim": "f"},
            GATEWAY,
            (*POD, "volumes", "=feedback"),
            {"name": "feedback", "persistentVolumeClaim": {"claimName": "f"}},
        ),
        (
            ONE,
            {},
            ("PersistentVolumeClaim", "-feedback"),
            ("metadata", "annotations"),
            {"helm.sh/resource-policy": "keep"},
        ),
        (
            FULL,
            {},
            GATEWAY,
            (*MAIN, "env", "=SENSE_DATABASE_CRM", "valueFrom", "secretKeyRef"),
            {"name": "crm-readonly", "key": "url"},
        ),
        (
            FULL,
            {},
            GATEWAY,
            (*MAIN, "volumeMounts", "=database-sales"),
            {"name": "database-sales", "mountPath": "/databases/sales", "readOnly": True, "subPath": "current"},
        ),
        (
            FULL,
            {},
            GATEWAY,
            (*POD, "volumes", "=database-sales", "persistentVolumeClaim"),
            {"claimName": "sales-databases", "readOnly": True},
        ),
        (FULL, {}, ("HorizontalPodAutoscaler", "-gateway"), ("spec", "maxReplicas"), 8),
        # outside
        (FULL, {}, ("HTTPRoute", "-gateway"), ("spec", "hostnames"), ["sql.example.com"]),
        (
            FULL,
            {},
            ("HTTPRoute", "-gateway"),
            ("spec", "parentRefs"),
            [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
        ),
        (FULL, {"httpRoute.timeout": "1m30s"}, ("HTTPRoute", "-gateway"), ("spec", "rules", 0, "timeouts"), {"request": "1m30s"}),
        (
            FULL,
            {"httpRoute.timeout": "0s"},
            ("HTTPRoute", "-gateway"),
            ("spec", "rules", 0, "timeouts"),
            {"request": "0s"},
        ),  # none
        (
            ONE,
            {"ingress": {"enabled": True, "host": "h.example.com", "tlsSecret": "t", "className": "nginx"}},
            ("Ingress", ""),
            ("spec",),
            {
                "ingressClassName": "nginx",
                "tls": [{"hosts": ["h.example.com"], "secretName": "t"}],
                "rules": [
                    {
                        "host": "h.example.com",
                        "http": {
                            "paths": [
                                {
                                    "path": "/",
                                    "pathType": "Prefix",
                                    "backend": {"service": {"name": "release-sense-gateway", "port": {"name": "http"}}},
                                }
                            ]
                        },
                    }
                ],
            },
        ),
        # monitoring
        (FULL, {}, ("ServiceMonitor", "-vllm"), ("metadata", "labels", "release"), "prometheus"),
        (
            FULL,
            {"monitoring.serviceMonitor.interval": "5s"},
            ("ServiceMonitor", "-vllm"),
            ("spec", "endpoints", 0, "interval"),
            "5s",
        ),
        # no scrapeTimeout: Prometheus takes none that is longer than the interval
        (FULL, {}, *ENDPOINT, {"port": "http", "path": "/metrics", "interval": "30s"}),
        (
            FULL,
            {"monitoring.serviceMonitor.scrapeTimeout": "9s"},
            *ENDPOINT,
            {"port": "http", "path": "/metrics", "interval": "30s", "scrapeTimeout": "9s"},
        ),
        (FULL, {"commonLabels": {"release": "x"}}, ("ServiceMonitor", "-vllm"), ("metadata", "labels", "release"), "prometheus"),
        (FULL, {"commonLabels": {"release": "x"}}, ("Service", "-vllm"), ("metadata", "labels", "release"), "x"),
        (FULL, {"commonLabels": {"grafana_dashboard": "x"}}, *DASHBOARD, "1"),
        (FULL, {}, *DASHBOARD, "1"),
        (FULL, {}, ("ConfigMap", "-dashboard"), ("metadata", "annotations"), {"grafana_folder": "SENSE"}),
        # the Job before an upgrade
        (ONE, {"vllm.prefetch.timeoutSeconds": 9}, PREFETCH, ("spec", "activeDeadlineSeconds"), 9),
        (ONE, {"vllm.prefetch.retries": 0}, PREFETCH, ("spec", "backoffLimit"), 0),
        (ONE, {"vllm.prefetch.annotations": {"a": "b"}}, PREFETCH, (*META, "annotations"), {"a": "b"}),
        (ONE, {}, PREFETCH, (*POD, "volumes", "=models", "emptyDir"), {"sizeLimit": "100Gi"}),
        (
            ONE,
            {"vllm.storage.persistence": {"existingClaim": "mine", "accessMode": "ReadWriteMany"}},
            PREFETCH,
            (*POD, "volumes", "=models", "persistentVolumeClaim"),
            {"claimName": "mine"},
        ),
        (
            ONE,
            {"vllm.storage.persistence": {"existingClaim": "m", "accessMode": "ReadWriteMany"}, "vllm.prefetch.toClaim": False},
            PREFETCH,
            (*POD, "volumes", "=models", "emptyDir"),
            {"sizeLimit": "100Gi"},
        ),
        (ONE, {"mlflow.existingSecret": "s"}, PREFETCH, (*MAIN, "envFrom"), [{"secretRef": {"name": "s"}}]),
        (ONE, {}, PREFETCH, (*POD, "tolerations", 0, "key"), "nvidia.com/gpu"),
        (
            ONE,
            {"vllm.serviceAccount.annotations": {"example.com/role": "r"}},
            ("ServiceAccount", "-prefetch"),
            ("metadata", "annotations", "example.com/role"),
            "r",
        ),
        # certificates, volumes, environment
        (
            ONE,
            {"caBundle.secret": "s", "caBundle.key": "k"},
            VLLM,
            (*POD, "volumes", "=ca", "secret"),
            {"secretName": "s", "items": [{"key": "k", "path": "ca.crt"}]},
        ),
        (ONE, {"vllm.extraVolumes": [EXTRA], "vllm.extraVolumeMounts": [MOUNT]}, VLLM, (*POD, "volumes", "=extra"), EXTRA),
        (ONE, {"vllm.extraVolumes": [EXTRA], "vllm.extraVolumeMounts": [MOUNT]}, VLLM, (*MAIN, "volumeMounts", "=extra"), MOUNT),
        (
            ONE,
            {"gateway.extraVolumes": [EXTRA], "gateway.extraVolumeMounts": [MOUNT]},
            GATEWAY,
            (*POD, "volumes", "=extra"),
            EXTRA,
        ),
        (
            ONE,
            {"gateway.extraVolumes": [EXTRA], "gateway.extraVolumeMounts": [MOUNT]},
            GATEWAY,
            (*MAIN, "volumeMounts", "=extra"),
            MOUNT,
        ),
        (
            ONE,
            {"vllm.extraVolumes": [EXTRA], "vllm.download.extraVolumeMounts": [MOUNT]},
            PREFETCH,
            (*POD, "volumes", "=extra"),
            EXTRA,
        ),
        (ONE, {"extraEnv": [{"name": "HTTPS_PROXY", "value": "p"}]}, GATEWAY, (*MAIN, "env", "=HTTPS_PROXY", "value"), "p"),
        (ONE, {"extraEnv": [{"name": "HOME", "value": "/h"}]}, VLLM, (*MAIN, "env", "=HOME", "value"), "/h"),
        (
            ONE,
            {"extraEnv": [{"name": "A", "value": "all"}], "vllm.env": [{"name": "A", "value": "own"}]},
            VLLM,
            (*MAIN, "env", "=A", "value"),
            "own",
        ),
        # compile caches
        (
            ONE,
            {"vllm.cachePersistence.accessMode": "ReadWriteOnce"},
            VLLM,
            (*POD, "volumes", "=cache", "emptyDir", "sizeLimit"),
            "20Gi",
        ),
        (
            ONE,
            {"vllm.cachePersistence": {"enabled": True, "existingClaim": "mine"}},
            VLLM,
            (*POD, "volumes", "=cache", "persistentVolumeClaim"),
            {"claimName": "mine"},
        ),
        (
            ONE,
            {"vllm.cachePersistence": {"enabled": True, "size": "9Gi"}},
            ("PersistentVolumeClaim", "-cache"),
            ("spec",),
            {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "9Gi"}}},
        ),
        # replicas beside an autoscaler, where the cluster cannot be asked
        (FULL, {}, GATEWAY, ("metadata", "annotations"), {"sense/replicas": "autoscaler"}),
        (FULL, {"gateway.hpa.keepReplicas": True, "gateway.replicas": 4}, GATEWAY, ("spec", "replicas"), 4),
        (FULL, {"vllm.keda.keepReplicas": True, "vllm.replicas": 4}, VLLM, ("spec", "replicas"), 4),
        # helm test
        (ONE, {"test.annotations": {"a": "b"}}, ("Pod", "-test"), ("metadata", "annotations", "a"), "b"),
        (
            ONE,
            {"test.resources": {"limits": {"cpu": "1"}}},
            ("Pod", "-test"),
            ("spec", "containers", 0, "resources", "limits"),
            {"cpu": "1", "memory": "128Mi"},
        ),
        (FULL, {}, ("Pod", "-test"), ("spec", "containers", 0, "env", "=DATABASE", "value"), "sales"),
        (ONE, {}, ("Pod", "-test"), ("metadata", "annotations", "helm.sh/hook"), "test"),
    ],
)
def test_option(file, options, where, path, expected):
    manifest = find(render(file, set=options), *where)
    assert reach(manifest, path) == expected
    check(manifest)


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({"vllm.pdb.enabled": False}, "PodDisruptionBudget/release-sense-vllm"),
        ({"gateway.pdb.enabled": False}, "PodDisruptionBudget/release-sense-gateway"),
        ({"gateway.serviceAccount.create": False}, "ServiceAccount/release-sense-gateway"),
        ({"gateway.feedback.enabled": False}, "PersistentVolumeClaim/release-sense-feedback"),
        ({"gateway.feedback.existingClaim": "mine"}, "PersistentVolumeClaim/release-sense-feedback"),
        ({"vllm.storage.persistence.existingClaim": "mine"}, "PersistentVolumeClaim/release-sense-models"),
        ({"test.enabled": False}, "Pod/release-sense-test"),
    ],
)
def test_what_is_off_is_not_made(options, gone):
    assert set(kinds(render(ONE))) - set(kinds(render(ONE, set=options))) == {gone}


def test_without_an_account_of_its_own_the_job_before_an_upgrade_has_vllms():
    manifests = render(ONE, set={"vllm.serviceAccount": {"create": False, "name": "mine"}})
    assert kinds(manifests).count("ServiceAccount/release-sense-gateway") == 1
    assert [name for name in kinds(manifests) if name.startswith("ServiceAccount/")] == ["ServiceAccount/release-sense-gateway"]
    assert pod(find(manifests, "Job"))["serviceAccountName"] == "mine"


def test_further_objects_stay_as_they_are():
    objects = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "{{ b }}"}} for name in "xy"]
    assert [one for one in render(ONE, set={"extraObjects": objects}) if one["metadata"]["name"] in "xy"] == objects


@pytest.mark.parametrize("part", ["vllm", "gateway"])
def test_replicas_may_stand_together(part):
    assert "topologySpreadConstraints" not in pod(
        find(render(ONE, set={f"{part}.topologySpread.enabled": False}), "Deployment", part)
    )


@pytest.mark.parametrize(
    ("release", "expected"),
    [("release", "release-sense-vllm"), ("my-sense", "my-sense-vllm"), ("r" * 53, "r" * 45 + "-vllm")],
)
def test_names(release, expected):
    assert find(render(ONE, name=release), "Service", "-vllm")["metadata"]["name"] == expected


def test_the_longest_name_still_fits():
    assert max(len(one["metadata"]["name"]) for one in render(FULL, name="r" * 53)) <= 63


FOLDER = "/models/sense/3-3b1f7f4f2f2f"


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            ONE,
            f"vllm serve {FOLDER}/model --served-model-name sense-3 --port 8000 --dtype auto --max-model-len 4096 "
            "--tensor-parallel-size 1 --gpu-memory-utilization 0.9 --shutdown-timeout 60",
        ),
        (
            "values-tensor-parallel.yaml",
            f"vllm serve {FOLDER}/model --served-model-name sense-3 --port 8000 --dtype auto --max-model-len 8192 "
            "--tensor-parallel-size 4 --gpu-memory-utilization 0.9 --shutdown-timeout 60 --max-num-seqs 128",
        ),
        (
            CPU,
            f"python3 -m vllm.entrypoints.openai.api_server --model {FOLDER}/model --served-model-name sense-3 --port 8000 "
            "--dtype float32 --max-model-len 1024 --tensor-parallel-size 1 --shutdown-timeout 60 --enforce-eager "
            "--no-enable-chunked-prefill",
        ),
        (
            FULL,
            f"vllm serve {FOLDER}/model --served-model-name sense-3 --port 8000 --dtype auto --max-model-len 4096 "
            "--tensor-parallel-size 1 --gpu-memory-utilization 0.9 --shutdown-timeout 60 --enable-lora --max-lora-rank 32 "
            "--max-loras 2 --lora-modules sense-finance-2=/models/adapters/sense-finance-6ac58c15790d "
            "trial=/models/adapters/trial-2106c4250059",
        ),
    ],
)
def test_what_vllm_is_started_with(file, expected):
    assert " ".join(rendering.vllm_command(render(file))[0]) == expected


def test_vllm_writes_only_where_it_may():
    container = pod(find(render(CPU), "Deployment", "-vllm"))["containers"][0]
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/cache", "/tmp", "/dev/shm"]
    env = rendering.vllm_command(render(CPU))[1]
    assert {name: path for name, path in env.items() if path.startswith("/")}.keys() == {
        "HOME",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "HF_HOME",
        "VLLM_CACHE_ROOT",
        "TRITON_CACHE_DIR",
        "TORCHINDUCTOR_CACHE_DIR",
    }
    assert all(path == "/cache" or path.startswith("/cache/") for path in env.values() if path.startswith("/"))
    assert (env["HF_HUB_OFFLINE"], env["VLLM_NO_USAGE_STATS"], env["VLLM_CPU_KVCACHE_SPACE"]) == ("1", "1", "1")


def test_paths_of_the_container_become_paths_here():
    command, env = rendering.vllm_command(render(FULL), {"/models": "/here", "/cache": "/there"})
    assert "/here/sense/3-3b1f7f4f2f2f/model" in command
    assert "trial=/here/adapters/trial-2106c4250059" in command
    assert (env["HOME"], env["HF_HOME"]) == ("/there", "/there/huggingface")
    arguments = rendering.fetch_command(render(FULL), {"/models": "/here"})[0][3:]
    assert [yaml.safe_load(one)["into"].startswith("/here/") for one in arguments] == [True, True, True]


def test_verification_can_be_switched_off():
    arguments = rendering.fetch_command(render(ONE, set={"vllm.download.verify": False}))[0]
    assert yaml.safe_load(arguments[3])["digest"] == ""


def policies(**more):
    manifests = render(FULL, set={f"networkPolicy.{key}": value for key, value in more.items()})
    return {one["metadata"]["name"].rpartition("-")[2]: one["spec"] for one in manifests if one["kind"] == "NetworkPolicy"}


def test_everything_is_denied_first():
    denied = policies()["deny"]
    assert (denied["policyTypes"], denied.keys()) == (["Ingress", "Egress"], {"podSelector", "policyTypes"})


def test_only_gateway_prometheus_and_named_clients_reach_vllm():
    client = {"podSelector": {"matchLabels": {"app": "reports"}}}
    (rule,) = policies(vllmClients=[client])["vllm"]["ingress"]
    (alone,) = policies(vllmClients=[client], prometheus=[client])["vllm"]["ingress"]
    assert [peer["podSelector"]["matchLabels"].get("app.kubernetes.io/component") for peer in rule["from"]] == [
        "gateway",
        None,
        None,
    ]
    assert (rule["from"][1], alone["from"][1:]) == (client, [client, client])
    assert rule["ports"] == [{"port": 8000, "protocol": "TCP"}]


def test_without_named_clients_everybody_may_ask():
    assert policies(clients=[])["gateway"]["ingress"] == [{"ports": [{"port": 8080, "protocol": "TCP"}]}]


@pytest.mark.parametrize(
    ("address", "port"),
    [("https://m.example.com", 443), ("http://m", 80), ("http://m.mlops.svc:5000/prefix", 5000), ("http://[::1]:5001", 5001)],
)
def test_mlflow_is_reached_on_its_port(address, port):
    manifests = render(FULL, set={"mlflow.trackingUri": address, "networkPolicy.mlflow": [], "networkPolicy.artifacts": []})
    egress = find(manifests, "NetworkPolicy", "-vllm")["spec"]["egress"]
    assert egress[1:] == [{"ports": [{"port": port, "protocol": "TCP"}]}]


def test_the_port_of_mlflows_pods_may_be_another_than_its_services():
    egress = policies(mlflowPort=5000, artifacts=[])["vllm"]["egress"]
    assert [port["port"] for rule in egress[1:] for port in rule["ports"]] == [5000]


@pytest.mark.parametrize(("options", "port"), [({}, 53), ({"dnsPort": 5353}, 5353)])
def test_names_are_resolved_on_the_port_of_the_name_servers_pods(options, port):
    rules = policies(**options)
    for part in ("gateway", "vllm", "test"):
        assert rules[part]["egress"][0]["ports"] == [{"port": port, "protocol": "UDP"}, {"port": port, "protocol": "TCP"}]


def gateway_storage(**options):
    """Volume -> its claim, and mount path -> the rest of its mount."""
    spec = pod(find(render(ONE, set={f"gateway.{key}": value for key, value in options.items()}), "Deployment", "-gateway"))
    volumes = {one["name"]: one["persistentVolumeClaim"] for one in spec["volumes"] if "persistentVolumeClaim" in one}
    mounts = {one.pop("mountPath"): one for one in spec["containers"][0]["volumeMounts"] if one["name"] in volumes}
    return volumes, mounts


SAME = {"databases.claims": [{"name": name, "claimName": "dbs", "subPath": name} for name in ("a", "b")]}
READ = {path: {"readOnly": True, "subPath": path[-1]} for path in ("/databases/a", "/databases/b")}


def test_databases_on_one_claim_share_a_volume():
    volumes, mounts = gateway_storage(**SAME)
    assert volumes == {
        "database-a": {"claimName": "dbs", "readOnly": True},
        "feedback": {"claimName": "release-sense-feedback"},
    }
    assert mounts == {
        "/var/lib/sense/feedback": {"name": "feedback"},
        **{path: {"name": "database-a", **rest} for path, rest in READ.items()},
    }


def test_feedback_on_the_databases_claim_can_be_written_and_they_cannot():
    volumes, mounts = gateway_storage(**SAME, **{"feedback.existingClaim": "dbs"})
    assert volumes == {"feedback": {"claimName": "dbs"}}
    assert mounts == {
        "/var/lib/sense/feedback": {"name": "feedback"},
        **{path: {"name": "feedback", **rest} for path, rest in READ.items()},
    }


def test_what_looks_like_a_number_or_a_boolean_stays_a_string():
    odd = {
        "fullnameOverride": "on",
        "nameOverride": "2",
        "imagePullSecrets": ["123"],
        "model.name": "2024-01",  # with version 15 it would be a date
        "model.version": "15",
        "images.gateway": {"repository": "localhost:5000/7", "tag": "30"},
        "mlflow.existingSecret": "1e3",
        "vllm.runtimeClassName": "true",
        "vllm.priorityClassName": "1",
        "vllm.serviceAccount.name": "2024",
        "vllm.storage.persistence.storageClass": "1",
        "vllm.topologySpread.topologyKey": "1",
        "vllm.keda.authenticationRef": "1",
        "gateway.serviceAccount.name": "2025",
        "gateway.databases.claims": [{"name": "1", "claimName": "2024", "accessMode": "ReadWriteMany"}],
        "gateway.feedback.existingClaim": "1.5",
        "httpRoute.parentRefs": [{"name": "1", "namespace": "2", "sectionName": "3"}],
    }
    outside = {"httpRoute.enabled": False, "ingress": {"enabled": True, "host": "1", "className": "2", "tlsSecret": "3"}}
    for name in ("42", "on", "true"):
        for more in ({}, outside):
            texts = rendering.documents(rendering.values(FULL, rendering.CHAMPION, set=odd | more), name, "2024")
            manifests = rendering.parse(texts)
            assert {one["metadata"]["namespace"] for one in manifests} == {"2024"}
            for one in manifests:
                check(one)
            config = yaml.safe_load(find(manifests, "ConfigMap", "-gateway")["data"]["serve.yaml"])
            assert list(config["backend"]["vllm"]["models"]) == ["2024-01-15", "2024-01-2"]


def test_large_numbers_stay_numbers():
    manifests = render(ONE, set={"gateway.limits": {"body_bytes": 10_000_000, "execution": {"max_steps": 123_456_789}}})
    limits = yaml.safe_load(find(manifests, "ConfigMap", "-gateway")["data"]["serve.yaml"])["limits"]
    assert limits == {"body_bytes": 10_000_000, "concurrency": 8, "execution": {"max_steps": 123_456_789, "workers": 1}}
