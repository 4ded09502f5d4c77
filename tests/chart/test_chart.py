"""Every example as the real Helm engine renders it: linted, valid for Kubernetes 1.36, and sound as a whole."""

import hashlib
import json
import re
import shutil
import tomllib
from pathlib import Path

import helm_python as helm
import jsonschema
import pytest
import yaml

from sense.config import GenerationConfig, LimitsConfig, ServeConfig, validate
from sense.sql.parse import MAX_LENGTH
from sense.sql.sandbox import Limits
from tests.chart import rendering
from tests.chart.rendering import CHAMPION, CHART, EXAMPLES, documents, find, kinds, pod, render, values
from tests.chart.validity import KUBERNETES, check

FILES = sorted(file.name for file in EXAMPLES.glob("values-*.yaml"))
WORKLOADS = ("Deployment", "Job", "Pod")


@pytest.fixture(params=FILES, scope="module")
def manifests(request):
    return render(request.param)


def containers(manifest):
    spec = pod(manifest)
    return [*spec.get("initContainers", []), *spec["containers"]]


def test_there_is_an_example_for_each_case():
    assert FILES == ["values-cpu.yaml", "values-full.yaml", "values-one-gpu.yaml", "values-tensor-parallel.yaml"]


@pytest.mark.parametrize("file", FILES)
def test_lint_finds_nothing(file):
    report = helm.lint(CHART, values(file, CHAMPION), strict=True, kube_version=f"v{KUBERNETES}.0")
    assert report["errors"] == []
    assert report["messages"] == []


def test_every_manifest_is_valid(manifests):
    for manifest in manifests:
        check(manifest)


@pytest.mark.parametrize("kind", ["ServiceMonitor", "ScaledObject", "HTTPRoute", "InferencePool", "InferenceService"])
def test_the_schema_of_a_custom_resource_refuses_a_misspelt_key(kind):
    manifests = [*render("values-full.yaml"), *render("values-full.yaml", set={"output": "kserve"})]
    manifest = next(one for one in manifests if one["kind"] == kind)
    manifest["spec"]["mispelt"] = 1
    with pytest.raises(jsonschema.ValidationError, match="mispelt"):
        check(manifest)


def test_the_full_example_has_every_object_that_the_chart_knows():
    with_ingress = render(
        "values-full.yaml", set={"httpRoute.enabled": False, "ingress": {"enabled": True, "host": "sql.example.com"}}
    )
    with_kserve = render("values-full.yaml", set={"output": "kserve"})
    rendered = {one["kind"] for one in [*render("values-full.yaml"), *with_ingress, *with_kserve]}
    written = {
        kind for file in (CHART / "templates").rglob("*.*") for kind in re.findall(r"^kind: (\w+)", file.read_text(), re.M)
    }
    assert rendered == written


def test_names_are_unique_and_everything_is_in_the_namespace(manifests):
    assert len(set(kinds(manifests))) == len(manifests)
    assert {one["metadata"]["namespace"] for one in manifests} == {"serving"}


def test_selectors_match_exactly_the_pods_they_mean(manifests):
    pods = {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"] for one in manifests if one["kind"] == "Deployment"
    }
    pods |= {one["metadata"]["name"]: one["metadata"]["labels"] for one in manifests if one["kind"] == "Pod"}
    pods |= {one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"] for one in manifests if one["kind"] == "Job"}

    def matched(selector):
        return {name for name, labels in pods.items() if selector.items() <= labels.items()}

    for one in manifests:
        name, spec = one["metadata"]["name"], one.get("spec", {})
        if one["kind"] in ("Deployment", "PodDisruptionBudget"):
            assert matched(spec["selector"]["matchLabels"]) == {name}
        if one["kind"] == "Service":
            assert matched(spec["selector"]) == {name}
        if one["kind"] == "InferencePool":
            assert matched(spec["selector"]["matchLabels"]) == {name}
        if one["kind"] == "NetworkPolicy":
            expected = set(pods) if name.endswith("-deny") else {name}
            assert matched(spec["podSelector"]["matchLabels"]) == expected
        if one["kind"] == "ServiceMonitor":
            services = [other for other in manifests if other["kind"] == "Service"]
            selector = spec["selector"]["matchLabels"].items()
            (service,) = [other for other in services if selector <= other["metadata"]["labels"].items()]
            assert service["metadata"]["name"] == name
            assert {end["port"] for end in spec["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}


def test_ports_and_references_exist(manifests):
    names = set(kinds(manifests))
    for one in manifests:
        if one["kind"] == "Service":
            target = find(manifests, "Deployment", one["metadata"]["name"])
            ports = {port["name"] for port in pod(target)["containers"][0]["ports"]}
            assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports
        if one["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = one["spec"]["scaleTargetRef"]
            assert f"{target['kind']}/{target['name']}" in names
            assert "replicas" not in find(manifests, "Deployment", target["name"])["spec"]
        if one["kind"] == "HTTPRoute":
            backend = one["spec"]["rules"][0]["backendRefs"][0]
            assert f"{backend.get('kind', 'Service')}/{backend['name']}" in names
        if one["kind"] in WORKLOADS:
            assert f"ServiceAccount/{pod(one)['serviceAccountName']}" in names


def test_every_mount_has_its_volume_and_every_volume_a_mount(manifests):
    for one in [one for one in manifests if one["kind"] in WORKLOADS]:
        mounted = {mount["name"] for container in containers(one) for mount in container.get("volumeMounts", [])}
        assert mounted == {volume["name"] for volume in pod(one).get("volumes", [])}
        for container in containers(one):
            paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            assert len(set(paths)) == len(paths)


def test_claims_and_config_maps_of_the_chart_exist(manifests):
    names = set(kinds(manifests))
    own = {"release-sense-models", "release-sense-cache", "release-sense-feedback", "release-sense-gateway"}
    for one in [one for one in manifests if one["kind"] in WORKLOADS]:
        for volume in pod(one).get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            config = volume.get("configMap", {}).get("name")
            if claim in own:
                assert f"PersistentVolumeClaim/{claim}" in names
            if config in own:
                assert f"ConfigMap/{config}" in names


def test_pods_are_restricted(manifests):
    for one in [one for one in manifests if one["kind"] in WORKLOADS]:
        spec = pod(one)
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        for container in containers(one):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            assert {"cpu", "memory", "ephemeral-storage"} <= container["resources"]["requests"].keys()
            assert "memory" in container["resources"]["limits"]
            assert "cpu" not in container["resources"]["limits"]
            assert len({entry["name"] for entry in container["env"]}) == len(container["env"])
    for one in [one for one in manifests if one["kind"] == "ServiceAccount"]:
        assert one["automountServiceAccountToken"] is False


@pytest.mark.parametrize("source", ["configMap", "secret"])
def test_every_container_trusts_the_bundle(source):
    bundle = {"configMap": "", "secret": "", "key": "bundle.pem"} | {source: "authorities"}
    pods = [pod(one) for one in render("values-full.yaml", set={"caBundle": bundle}) if one["kind"] in WORKLOADS]
    everywhere = [(spec, container) for spec in pods for container in (*spec.get("initContainers", []), *spec["containers"])]
    assert len(everywhere) == 5  # download and vLLM, gateway, the Job before an upgrade, the test
    for spec, container in everywhere:
        (volume,) = [one for one in spec["volumes"] if one["name"] == "ca"]
        assert volume[source]["items"] == [{"key": "bundle.pem", "path": "ca.crt"}]
        env = {entry["name"]: entry.get("value") for entry in container["env"]}
        (mount,) = [one for one in container["volumeMounts"] if one["name"] == "ca"]
        for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "MLFLOW_TRACKING_SERVER_CERT_PATH"):
            assert env[variable] == f"{mount['mountPath']}/ca.crt"


def test_every_image_is_pinned(manifests):
    for one in [one for one in manifests if one["kind"] in WORKLOADS]:
        for container in containers(one):
            assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+", container["image"])


def test_no_secret_is_in_any_manifest(manifests):
    assert not [one for one in manifests if one["kind"] == "Secret"]
    for one in [one for one in manifests if one["kind"] in WORKLOADS]:
        for container in containers(one):
            for entry in container["env"]:
                if entry["name"] in ("SENSE_GATEWAY_KEYS", "VLLM_API_KEY") or entry["name"].startswith("SENSE_DATABASE_"):
                    assert entry.keys() == {"name", "valueFrom"}
                    assert entry["valueFrom"].keys() == {"secretKeyRef"}


def test_pods_have_time_to_finish_before_they_are_killed(manifests):
    vllm, gateway = (find(manifests, "Deployment", name) for name in ("-vllm", "-gateway"))
    command = rendering.vllm_command(manifests)[0]
    config = gateway_config(manifests)
    for deployment, seconds in (
        (vllm, float(command[command.index("--shutdown-timeout") + 1])),
        (gateway, config.limits.request_s),
    ):
        spec = pod(deployment)
        pre_stop = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pre_stop >= 1
        assert spec["terminationGracePeriodSeconds"] > pre_stop + seconds
    assert float(command[command.index("--shutdown-timeout") + 1]) >= config.limits.model_s


def test_probes(manifests):
    vllm, gateway = (pod(find(manifests, "Deployment", name))["containers"][0] for name in ("-vllm", "-gateway"))

    def paths(one):
        return [one[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]

    assert paths(vllm) == ["/health", "/health", "/health"]
    assert paths(gateway) == ["/healthz", "/readyz", "/healthz"]


def gateway_config(manifests):
    """The gateway's configuration, as `sense serve` reads it."""
    text = find(manifests, "ConfigMap", "-gateway")["data"]["serve.yaml"]
    return validate(ServeConfig, yaml.safe_load(text), "serve.yaml")


def test_the_gateway_has_the_models_that_vllm_serves(manifests):
    config, (command, _) = gateway_config(manifests), rendering.vllm_command(manifests)
    vllm = config.backend.vllm
    name = command[command.index("--served-model-name") + 1]
    assert name == "sense-3"
    assert list(vllm.models) == ["sense-3", "sense-2"]  # the gateway prefers the first
    assert [(one.name, one.version, one.digest[:4]) for one in vllm.models.values()] == [
        ("sense", "3", "3b1f"),
        ("sense", "2", "9c0d"),
    ]
    assert vllm.models[name].prompt.schema_style == "compact"
    service = find(manifests, "Service", "-vllm")
    assert vllm.url == f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert service["spec"]["ports"][0]["port"] == int(command[command.index("--port") + 1])
    assert service["metadata"]["name"] != "vllm"


def test_the_gateway_knows_which_version_writes_a_linking_line():
    merged = values("values-cpu.yaml", CHAMPION, set={"model.prompt.target": "linked"})
    del merged["model"]["previous"]["prompt"]["target"]  # values that an earlier release wrote
    models = gateway_config(rendering.parse(documents(merged))).backend.vllm.models
    assert {name: served.prompt.target for name, served in models.items()} == {"sense-3": "linked", "sense-2": "sql"}


def test_the_gateway_finds_what_its_configuration_names(manifests):
    config = gateway_config(manifests)
    container = pod(find(manifests, "Deployment", "-gateway"))["containers"][0]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    env = {entry["name"] for entry in container["env"]}
    assert config.host == "0.0.0.0"
    assert config.port == container["ports"][0]["containerPort"]
    assert config.data is None
    assert config.feedback is None or "readOnly" not in mounts[config.feedback]
    assert config.databases.folders or config.databases.urls
    assert all(mounts[folder]["readOnly"] for folder in config.databases.folders)
    assert {config.keys, *config.databases.urls.values()} <= env
    assert container["command"][:3] == ["sense", "serve", "--config"]
    assert Path(container["command"][3]).parent.as_posix() in mounts
    rolled = find(manifests, "Deployment", "-gateway")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
    assert (
        rolled == hashlib.sha256(find(manifests, "ConfigMap", "-gateway")["data"]["serve.yaml"].rstrip("\n").encode()).hexdigest()
    )


@pytest.mark.parametrize("file", FILES)
def test_the_same_values_give_the_same_bytes(file):
    merged = values(file, CHAMPION)
    assert documents(merged) == documents(merged)


def test_nothing_looks_at_the_cluster_the_clock_or_chance():
    """What replicas run and which claims exist is asked in one file."""
    source = "".join(file.read_text() for file in (CHART / "templates").rglob("*.*") if file.name != "_live.tpl")
    assert not re.findall(
        r"\b(lookup|now|randAlphaNum|randAlpha|randNumeric|uuidv4|genCA|genSelfSignedCert|Capabilities)\b", source
    )


def test_no_script_has_what_kubernetes_would_expand(manifests):
    for one in [one for one in manifests if one["kind"] in WORKLOADS]:
        for container in containers(one):
            assert "$(" not in "".join([*container["command"], *container.get("args", [])])


def test_the_chart_is_of_the_same_version_as_sense():
    project = tomllib.loads((CHART.parent.parent / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["apiVersion"], chart["appVersion"]) == ("v2", project["version"])


def test_the_schema_knows_the_gateways_options_and_no_others():
    gateway = json.loads((CHART / "values.schema.json").read_text())["properties"]["gateway"]["properties"]
    assert gateway["generation"]["properties"].keys() == GenerationConfig.model_fields.keys()
    assert gateway["limits"]["properties"].keys() == LimitsConfig.model_fields.keys()
    execution = gateway["limits"]["properties"]["execution"]["properties"]
    assert execution.keys() == type(LimitsConfig().execution).model_fields.keys()


def test_the_charts_defaults_are_those_of_the_gateway():
    source = "".join(file.read_text() for file in (CHART / "templates").glob("_*.tpl"))
    assert {name: float(value) for name, value in re.findall(r'dig "(\w+_s)" (\d+)', source)} == {
        "request_s": LimitsConfig().request_s,
        "model_s": LimitsConfig().model_s,
    }
    assert int(re.search(r'dig "concurrency" (\d+)', source)[1]) == LimitsConfig().concurrency
    assert int(re.search(r'dig "execution" "workers" (\d+)', source)[1]) == LimitsConfig().execution.workers
    memory = int(re.search(r" (\d+)\) -}}\n{{- end -}}\n\n{{/\* A quantity", source)[1]) << 20
    execution = LimitsConfig().execution
    limits = Limits(execution.timeout_s, execution.max_rows, execution.max_bytes, execution.max_steps, MAX_LENGTH)
    assert limits.max_memory < memory


def test_every_object_of_the_schema_is_closed():
    """additionalProperties is false, or says what free entries look like."""

    def walk(schema, path):
        if isinstance(schema, dict):
            if schema.get("type") == "object":
                closed = schema.get("additionalProperties") is False or isinstance(schema.get("additionalProperties"), dict)
                assert closed, ".".join(path)
            for key, value in schema.items():
                walk(value, [*path, key])
        elif isinstance(schema, list):
            for number, value in enumerate(schema):
                walk(value, [*path, str(number)])

    walk(json.loads((CHART / "values.schema.json").read_text()), ["values"])


def test_every_value_is_documented():
    """A comment stands above each key of the first two levels."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    bare = []
    for number, line in enumerate(lines):
        key = re.match(r"^(  )?(\w+):", line)
        if key and not lines[number - 1].strip().startswith("#"):
            bare.append(f"{number + 1}: {line}")
    assert bare == []


def test_it_may_be_a_subchart(tmp_path):
    """A parent's `global` and the condition of its dependency are values of the chart, and change nothing in it."""
    alone = values("values-full.yaml", CHAMPION)
    dependency = {"name": "sense", "version": yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]}
    parent = {
        "apiVersion": "v2",
        "name": "platform",
        "version": "1.0.0",
        "dependencies": [dependency | {"condition": "sense.enabled"}],
    }
    shutil.copytree(CHART, tmp_path / "charts" / "sense")
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(parent))
    with helm.Chart.load(tmp_path) as chart:
        together = {"global": {"registry": {"host": "r"}}, "sense": alone | {"enabled": True}}
        rendered = chart.render(together, name="release", namespace="serving")
    assert {path.removeprefix("platform/charts/"): text for path, text in rendered.items()} == documents(alone)


def test_the_packaged_chart_is_the_same(tmp_path):
    archive = helm.package(CHART, destination=tmp_path)
    with helm.Chart.load(archive) as chart:
        assert chart.render(values("values-full.yaml", CHAMPION), name="release", namespace="serving") == documents(
            values("values-full.yaml", CHAMPION)
        )
