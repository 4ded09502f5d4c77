"""Values that cannot work are refused before anything reaches a cluster, and the message says which and what to do."""

import helm_python as helm
import pytest

from tests.chart.rendering import CHAMPION, documents, values

ONE = "values-one-gpu.yaml"
FULL = "values-full.yaml"
RWO = "ReadWriteOnce"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
EXTRA = {"name": "extra", "configMap": {"name": "c"}}
MOUNT = {"name": "extra", "mountPath": "/etc/extra"}
SALES = [{"name": "sales", "claimName": "sales-databases"}]


def render_error(merged, name="release"):
    """The message of Helm, which must refuse these values."""
    with pytest.raises(helm.HelmError) as error:
        documents(merged, name)
    return str(error.value)


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        # unknown keys, wherever they stand
        ("replicas", 2, ["replicas"]),
        ("vllm.replica", 2, ["/vllm", "replica"]),
        ("gateway.feedback.enable", True, ["/gateway/feedback", "enable"]),
        ("gateway.limits.max_rows", 5, ["/gateway/limits", "max_rows"]),
        ("gateway.limits.execution.rows", 5, ["/gateway/limits/execution", "rows"]),
        ("model.alias", "champion", ["/model", "alias"]),
        ("model.previous.digest", None, ["/model/previous/digest", "string"]),
        ("networkPolicy.clients", [{"podselector": {}}], ["/networkPolicy/clients/0", "podselector"]),
        ("vllm.tolerations", [{"keys": "x"}], ["/vllm/tolerations/0", "keys"]),
        ("vllm.resources", {"limit": {}}, ["/vllm/resources", "limit"]),
        ("enabled", "yes", ["/enabled", "boolean"]),
        ("vllm.affinity", {"nodeAfinity": {}}, ["/vllm/affinity", "nodeAfinity"]),
        ("gateway.affinity", {"podAffinity": {"required": []}}, ["/gateway/affinity/podAffinity", "required"]),
        (
            "vllm.affinity",
            {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpresions": []}]}}},
            ["/nodeSelectorTerms/0", "matchExpresions"],
        ),
        ("gateway.affinity", {"podAntiAffinity": {REQUIRED: [{"topology": "zone"}]}}, ["/podAntiAffinity", "topology"]),
        ("gateway.env", [{"name": "X", "valueFrom": {"secretRef": {}}}], ["/gateway/env/0/valueFrom", "secretRef"]),
        (
            "mlflow.env",
            [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "keys": "k"}}}],
            ["/mlflow/env/0/valueFrom/secretKeyRef", "keys"],
        ),
        ("gateway.databases.claims", [{"name": "a", "claimName": "c", "accessmode": "x"}], ["/claims/0", "accessmode"]),
        # wrong kinds and values
        ("model.version", 3, ["/model/version", "string"]),
        ("model.digest", "abc", ["/model/digest"]),
        ("model.prompt.schemaStyle", "sql", ["/model/prompt/schemaStyle", "compact"]),
        ("model.prompt.target", "ddl", ["/model/prompt/target", "linked"]),
        ("vllm.replicas", "2", ["/vllm/replicas", "integer"]),
        ("vllm.gpuMemoryUtilization", 1.5, ["/vllm/gpuMemoryUtilization"]),
        ("vllm.dtype", "int8", ["/vllm/dtype", "bfloat16"]),
        ("vllm.shutdownTimeoutSeconds", 0, ["/vllm/shutdownTimeoutSeconds"]),
        ("vllm.shmSize", "8 GB", ["/vllm/shmSize"]),
        ("vllm.extraArgs", "--max-num-seqs 64", ["/vllm/extraArgs", "array"]),
        ("vllm.pdb.maxUnavailable", "half", ["/vllm/pdb/maxUnavailable"]),
        ("vllm.env", [{"name": "X"}], ["/vllm/env/0"]),
        ("vllm.keda.minReplicas", 0, ["/vllm/keda/minReplicas"]),
        ("vllm.lora.maxRank", 17, ["/vllm/lora/maxRank"]),
        ("vllm.lora.adapters", [{"name": "a"}], ["/vllm/lora/adapters/0"]),
        ("vllm.storage.persistence.accessMode", "RWX", ["/vllm/storage/persistence/accessMode", "ReadWriteMany"]),
        ("vllm.podLabels", {"app.kubernetes.io/name": "x"}, ["/vllm/podLabels"]),
        ("vllm.podAnnotations", {"sense/model": "x"}, ["/vllm/podAnnotations"]),
        ("vllm", None, ["vllm"]),
        ("vllm.podSecurityContext.runAsUser", 0, ["/vllm/podSecurityContext/runAsUser"]),
        ("gateway.podSecurityContext.runAsUser", 0, ["/gateway/podSecurityContext/runAsUser"]),
        ("gateway.databases.claims", [{"name": "a", "claimName": "c", "accessMode": "RWX"}], ["/claims/0/accessMode"]),
        ("networkPolicy.mlflowPort", 0, ["/networkPolicy/mlflowPort"]),
        ("networkPolicy.dnsPort", "5353", ["/networkPolicy/dnsPort", "integer"]),
        ("gateway.limits.rows", 0, ["/gateway/limits/rows"]),
        ("gateway.logLevel", "trace", ["/gateway/logLevel"]),
        ("gateway.databases.urls", [{"name": "a", "url": "sqlite:///x"}], ["/gateway/databases/urls/0"]),
        ("mlflow.trackingUri", "sqlite:///mlflow.db", ["/mlflow/trackingUri"]),
        ("mlflow.trackingUri", "https://user:password@mlflow.example.com", ["/mlflow/trackingUri"]),
        ("monitoring.serviceMonitor.interval", "30", ["/monitoring/serviceMonitor/interval"]),
        ("images.vllm.digest", "abc", ["/images/vllm/digest"]),
        ("images.vllm.repository", "vllm/vllm-openai:v0.33.0", ["/images/vllm/repository"]),  # the tag is a value of its own
        ("vllm.port", 80, ["/vllm/port", "1,024"]),  # not without root
        ("mlflow.trackingUri", "http://mlflow:http", ["/mlflow/trackingUri"]),
        ("ingress.host", "https://sql.example.com/", ["/ingress/host"]),
        ("httpRoute.hostnames", ["sql.example.com:443"], ["/httpRoute/hostnames/0"]),
        ("commonLabels", {"team": "data platform"}, ["/commonLabels/team", "data platform"]),
        ("vllm.podLabels", {"a b": "x"}, ["invalid propertyName 'a b'"]),
        ("gateway.podAnnotations", {"a b": "x"}, ["invalid propertyName 'a b'"]),
        ("gateway.service.annotations", {"a b": "x"}, ["invalid propertyName 'a b'"]),
        ("vllm.nodeSelector", {"gpu": "NVIDIA A100"}, ["/vllm/nodeSelector/gpu"]),
        ("vllm.topologySpread.topologyKey", "a zone", ["/vllm/topologySpread/topologyKey"]),
        ("networkPolicy.mlflow", [{"ipBlock": {"cidr": "10.20.0.0"}}], ["/networkPolicy/mlflow/0/ipBlock/cidr"]),
        ("vllm.extraVolumes", [{"name": "a", "hostPath": {"path": "/"}}], ["/vllm/extraVolumes/0", "hostPath"]),  # not restricted
        ("vllm.extraVolumes", [{"name": "a", "configMap": {"names": "c"}}], ["/vllm/extraVolumes/0/configMap", "names"]),
        ("extraObjects", [{"kind": "ConfigMap", "metadata": {"name": "a"}}], ["/extraObjects/0", "apiVersion"]),
        ("test.annotations", {"helm.sh/hook": "x"}, ["/test/annotations"]),
        ("networkPolicy.mlflow", [{"ipBlock": {"cidr": "::/0"}, "podSelector": {}}], ["/mlflow/0", "got 2, want 1"]),
    ],
)
def test_the_schema_refuses(path, value, parts):
    message = render_error(values(ONE, CHAMPION, set={path: value}))
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("file", "options", "message"),
    [
        (ONE, {"model.version": "champion"}, 'model.version "champion" is no version number'),
        (
            ONE,
            {"model.previous": {"version": "3", "digest": "", "prompt": {"schemaStyle": "ddl", "sampleValues": 0}}},
            "is model.version",
        ),
        (ONE, {"mlflow.trackingUri": ""}, "mlflow.trackingUri is missing"),
        (ONE, {"vllm.tensorParallelSize": 2}, "vllm.tensorParallelSize is 2 and vllm.gpu.count 1"),
        (ONE, {"vllm.gpu.count": 2}, "vllm.tensorParallelSize is 1 and vllm.gpu.count 2"),
        ("values-cpu.yaml", {"vllm.tensorParallelSize": 2}, "on CPU it must be 1"),
        (ONE, {"vllm.resources.limits": {"nvidia.com/gpu": 1}}, "set vllm.gpu.count instead"),
        (ONE, {"vllm.resources.requests.memory": "64Gi"}, "vllm.resources.requests.memory is 64Gi, more than its limit (32Gi)"),
        (ONE, {"vllm.resources.limits.cpu": "3500m"}, "vllm.resources.requests.cpu is 4, more than its limit (3500m)"),
        (ONE, {"vllm.download.resources.limits.memory": "1000M"}, "vllm.download.resources.requests.memory is 1Gi"),
        (ONE, {"gateway.resources.requests.memory": "3.5Gi"}, "gateway.resources.requests.memory is 3.5Gi, more than its limit"),
        (ONE, {"vllm.extraArgs": ["--served_model_name=x"]}, "vllm.extraArgs has --served_model_name"),
        (ONE, {"vllm.extraArgs": ["-tp", "2"]}, "vllm.extraArgs has -tp, on which other objects depend"),
        (ONE, {"vllm.extraArgs": ["--pipeline-parallel-size", "2"]}, "vllm.extraArgs has --pipeline-parallel-size"),
        (ONE, {"vllm.extraArgs": ["--port", "9"]}, "vllm.extraArgs has --port, on which other objects depend: set vllm.port"),
        (ONE, {"vllm.shutdownTimeoutSeconds": 20}, "less than gateway.limits.model_s (30)"),
        (ONE, {"gateway.limits": {"model_s": 100}}, "less than gateway.limits.model_s (100)"),
        (ONE, {"vllm.replicas": 2}, "vllm.storage.persistence.accessMode is ReadWriteOnce with up to 2 replicas"),
        (FULL, {"vllm.storage.persistence.accessMode": RWO}, "ReadWriteOnce with up to 6 replicas"),
        (ONE, {"vllm.strategy.rollingUpdate": {"maxSurge": 1}}, "vllm.strategy starts a pod before the old one is gone"),
        (ONE, {"vllm.strategy.rollingUpdate.maxUnavailable": 0}, "vllm.strategy: maxSurge and maxUnavailable are both 0"),
        (ONE, {"vllm.strategy.type": "Recreate"}, "vllm.strategy: type Recreate has no rollingUpdate"),
        (ONE, {"gateway.strategy": {"type": "Recreate", "rollingUpdate": {}}}, "type Recreate has no rollingUpdate"),
        (ONE, {"vllm.keda.enabled": True}, "vllm.keda.enabled without vllm.keda.prometheusAddress"),
        (FULL, {"vllm.keda.minReplicas": 9}, "vllm.keda.minReplicas (9) is more than maxReplicas (6)"),
        (FULL, {"vllm.lora.adapters": [{"name": "sense", "version": "3"}]}, "sense-3 is the name of a version of the model"),
        (
            FULL,
            {"vllm.lora.adapters": [{"name": "sense-2", "uri": "runs:/1/a"}]},
            "sense-2 is the name of a version of the model",
        ),
        (ONE, {"vllm.lora.adapters": [{"name": "a", "uri": "models:/a@champion"}]}, "models:/a@champion names no version"),
        (ONE, {"vllm.lora.adapters": [{"name": "a", "uri": "models:/a/latest"}]}, "models:/a/latest names no version"),
        (ONE, {"gateway.keys.existingSecret": ""}, "gateway.keys.existingSecret is missing"),
        (ONE, {"gateway.databases.claims": []}, "gateway.databases is empty"),
        (FULL, {"gateway.databases.claims": [{"name": "crm", "claimName": "c"}]}, "crm and crm are too alike"),
        (ONE, {"gateway.replicas": 2}, "gateway.feedback.accessMode is ReadWriteOnce with up to 2 replicas"),
        (FULL, {"gateway.feedback.accessMode": RWO}, "gateway.feedback.accessMode is ReadWriteOnce with up to 8 replicas"),
        (ONE, {"gateway.strategy": {"type": "RollingUpdate"}}, "gateway.strategy starts a pod before the old one is gone"),
        (FULL, {"gateway.databases.claims": SALES}, "gateway.databases.claims (sales) accessMode is ReadWriteOnce with up to 8"),
        (
            ONE,
            {"gateway.feedback.enabled": False, "gateway.strategy": {"type": "RollingUpdate"}},
            "but gateway.databases.claims (sales) accessMode is ReadWriteOnce: set type Recreate",
        ),
        (
            ONE,
            {"vllm.serviceAccount.name": "one", "gateway.serviceAccount.name": "one"},
            "vllm.serviceAccount and gateway.serviceAccount would both create one",
        ),
        (ONE, {"vllm.serviceAccount.name": "release-sense-gateway"}, "would both create release-sense-gateway"),
        (ONE, {"gateway.limits.execution.workers": 2}, "limits.memory is 3072Mi, but 5312Mi may be used"),
        (ONE, {"gateway.limits.execution": None}, "is 3072Mi, but 5312Mi may be used"),  # the gateway's own default
        (ONE, {"gateway.limits.concurrency": None, "gateway.resources.limits.memory": "2911Mi"}, "is 2911Mi, but 2912Mi"),
        (ONE, {"gateway.resources.limits.memory": "2.5Gi"}, "is 2560Mi, but 2912Mi may be used"),
        (ONE, {"gateway.resources.limits.memory": "3G"}, "raise it to 2912Mi, or lower concurrency or workers"),
        (ONE, {"gateway.resources.limits.memory": 3_000_000_000}, "is 2861Mi, but 2912Mi may be used"),
        (FULL, {"gateway.hpa.minReplicas": 9}, "gateway.hpa.minReplicas (9) is more than maxReplicas (8)"),
        (FULL, {"gateway.resources.requests.cpu": None}, "gateway.hpa.enabled without gateway.resources.requests.cpu"),
        (FULL, {"ingress": {"enabled": True, "host": "h"}}, "ingress.enabled and httpRoute.enabled: take one of them"),
        (ONE, {"ingress.enabled": True}, "ingress.enabled without ingress.host"),
        (ONE, {"httpRoute.enabled": True}, "httpRoute.enabled without httpRoute.parentRefs"),
        (FULL, {"httpRoute.timeout": "59s999ms"}, "httpRoute.timeout is 59s999ms, less than gateway.limits.request_s (60)"),
        (FULL, {"gateway.limits.request_s": 75.5}, "httpRoute.timeout is 75s, less than gateway.limits.request_s (76)"),
        (FULL, {"monitoring.serviceMonitor.scrapeTimeout": "1m"}, "scrapeTimeout is 1m, more than interval (30s)"),
        (FULL, {"networkPolicy.prometheus": [], "vllm.keda.enabled": False}, "networkPolicy.prometheus is empty"),
        (FULL, {"networkPolicy.prometheus": [], "monitoring.serviceMonitor.enabled": False}, "networkPolicy.prometheus is empty"),
        (FULL, {"networkPolicy.databases": []}, "networkPolicy.databases is empty"),
        (FULL, {"networkPolicy.vllmClients": []}, "networkPolicy.vllmClients is empty"),
        # what the API server would refuse
        (ONE, {"vllm.storage.persistence.size": 0}, "vllm.storage.persistence.size is 0: a claim needs more than nothing"),
        (ONE, {"gateway.feedback.size": "0.0Gi"}, "gateway.feedback.size is 0.0Gi: a claim needs more than nothing"),
        (ONE, {"vllm.cachePersistence": {"enabled": True, "size": "0"}}, "vllm.cachePersistence.size is 0: a claim needs"),
        (
            ONE,
            {"gateway.databases.claims": [SALES[0] | {"subPath": "../x"}]},
            "(sales) subPath is ../x: it must stay in the claim",
        ),
        (ONE, {"gateway.databases.claims": [SALES[0] | {"subPath": "a/.."}]}, "subPath is a/..: it must stay in the claim"),
        *(
            (
                FULL,
                {"networkPolicy.mlflow": [{"ipBlock": {"cidr": cidr}}]},
                f"networkPolicy.mlflow: {cidr} is no range of addresses",
            )
            for cidr in ("10.0.0.300/8", "10.0.0.0/33", "10.0.0/8", "10.01.0.0/16", "1::2::3/64", "2001:db8::/129", "12345::/16")
        ),
        (
            FULL,
            {"networkPolicy.databases": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.256/32"]}}]}]},
            "networkPolicy.databases: 10.0.0.256/32 is no range of addresses",
        ),
        (
            ONE,
            {"vllm.tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
            "(a): operator Exists takes no value, but",
        ),
        (ONE, {"vllm.tolerations": [{"value": "b"}]}, "vllm.tolerations (every key): without a key operator must be Exists"),
        (
            ONE,
            {"gateway.tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 60}]},
            "gateway.tolerations (a): tolerationSeconds is for effect NoExecute, but effect is NoSchedule",
        ),
        (ONE, {"images.gateway.repository": "sense-gateway"}, "images.gateway.repository is sense-gateway, without a registry"),
        (ONE, {"images.vllm.repository": "vllm/vllm-openai"}, "write REGISTRY/vllm/vllm-openai"),
        (ONE, {"images.fetch.repository": ""}, "images.fetch.repository is missing"),
        # certificates and further volumes
        (ONE, {"caBundle": {"configMap": "a", "secret": "b"}}, "caBundle.configMap is a and caBundle.secret b: name one of them"),
        (ONE, {"vllm.extraVolumeMounts": [MOUNT]}, "vllm.extraVolumeMounts: extra is none of vllm.extraVolumes"),
        (ONE, {"gateway.extraVolumes": [EXTRA]}, "gateway.extraVolumes: extra is mounted nowhere"),
        (
            ONE,
            {"vllm.extraVolumes": [EXTRA | {"name": "cache"}], "vllm.extraVolumeMounts": [MOUNT | {"name": "cache"}]},
            "vllm.extraVolumes: cache is the name of another volume",
        ),
        (
            ONE,
            {"gateway.extraVolumes": [EXTRA], "gateway.extraVolumeMounts": [MOUNT | {"mountPath": "/databases/x"}]},
            "gateway.extraVolumeMounts: something else is mounted at /databases/x",
        ),
        (
            ONE,
            {"vllm.extraVolumes": [EXTRA], "vllm.download.extraVolumeMounts": [MOUNT | {"subPath": "../x"}]},
            "vllm.download.extraVolumeMounts: mountPath and subPath of extra must not have ..",
        ),
        (
            ONE,
            {"vllm.cachePersistence": {"enabled": True, "accessMode": RWO}, "vllm.replicas": 2},
            "vllm.cachePersistence.accessMode is",
        ),
        (ONE, {"test.resources.limits.memory": "1Mi"}, "test.resources.requests.memory is 64Mi, more than its limit"),
        (ONE, {"vllm.serviceAccount.name": "release-sense-prefetch"}, "is that of the Job before an upgrade"),
        # an autoscaler, where the cluster cannot be asked what runs
        (
            FULL,
            {"gateway.hpa.keepReplicas": None},
            "a manifest without replicas would set it to 1. Set gateway.hpa.keepReplicas: true",
        ),
        (FULL, {"vllm.keda.keepReplicas": None}, "Set vllm.keda.keepReplicas: true and vllm.replicas to the number that runs"),
    ],
)
def test_values_that_do_not_fit_together_are_refused(file, options, message):
    assert message in render_error(values(file, CHAMPION, set=options))


@pytest.mark.parametrize(
    "cidr", ["0.0.0.0/0", "10.0.0.255/32", "::/0", "2001:db8::/32", "::ffff:1/128", "1:2:3:4:5:6:7:8/64", "fe80::1:2/64"]
)
def test_ranges_of_addresses_are_accepted(cidr):
    assert documents(values(FULL, CHAMPION, set={"networkPolicy.mlflow": [{"ipBlock": {"cidr": cidr}}]}))


@pytest.mark.parametrize(
    "repository", ["localhost/sense", "localhost:5000/sense", "ghcr.io/acme/sense", "docker.io/library/sense"]
)
def test_images_with_a_registry_are_accepted(repository):
    assert documents(values(ONE, CHAMPION, set={"images.gateway.repository": repository}))


@pytest.mark.parametrize("memory", ["2912Mi", "3.1G", "1Ti", 3_100_000_000, None])
def test_enough_memory_is_accepted(memory):
    assert documents(values(ONE, CHAMPION, set={"gateway.resources.limits.memory": memory}))


def test_a_key_among_the_arguments_is_not_shown():
    message = render_error(values(ONE, CHAMPION, set={"vllm.extraArgs": ["--api-key=s3cret"]}))
    assert "set vllm.apiKey.existingSecret instead" in message
    assert "s3cret" not in message


@pytest.mark.parametrize("release", ["1sense", "sense.v2", "42"])
def test_a_release_that_no_service_can_be_named_after_is_refused(release):
    message = render_error(values(ONE, CHAMPION), release)
    assert f'release "{release}" would make a Service "{release}' in message
    assert "set fullnameOverride" in message
    assert documents(values(ONE, CHAMPION, set={"fullnameOverride": "sense"}), release)


def test_without_the_champions_values_the_message_says_how_to_get_them():
    assert "model.version is missing: run `sense models values sense@champion > values.champion.yaml`" in render_error(
        values(ONE)
    )


def test_all_errors_are_in_one_message():
    message = render_error({})
    assert message.count("\n- ") == 6
    keys = ("model.version", "mlflow.trackingUri", "gateway.keys.existingSecret", "gateway.databases")
    for key in (*keys, "images.fetch.repository", "images.gateway.repository"):
        assert f"- {key} is " in message
