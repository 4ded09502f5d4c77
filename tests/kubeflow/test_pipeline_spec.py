"""The compiled pipeline: the same text every time, valid for KFP's protobufs, asking for what the profile says."""

import functools
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st
from kfp import components
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig

from pipelines.sense import build
from sense import cli, config
from sense.errors import ConfigError
from sense.kubeflow import run_inputs
from sense.kubeflow.pipeline_spec import compile_pipeline, describe_tasks, quoted_yaml
from tests.yaml_texts import SHORT, TEXTS, read_as_go, read_as_python

CONFIGS = Path(__file__).parents[2] / "configs"
PROFILES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


@functools.cache
def built(profile, code_rev="code"):
    return build_now(profile, code_rev)


def build_now(profile, code_rev="code"):
    file = CONFIGS / f"{profile}.yaml"
    return compile_pipeline(build(config.load(file), file.read_text(), code_rev, "data"))


@pytest.fixture(scope="module")
def large():
    return built("sense-7b")


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_compiles_to_the_same_text_each_time(profile):
    assert build_now(profile) == built(profile)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_section_arrives_at_its_component_as_it_is_in_the_file(profile):
    """KFP has no null and only floating-point numbers: what a component gets must still validate to the same section."""
    params = config.load(CONFIGS / f"{profile}.yaml")
    spec = next(yaml.safe_load_all(built(profile)))
    tasks = spec["root"]["dag"]["tasks"]
    sections = run_inputs.sections(params)
    for task, name in (("ingest", "ingest"), ("synthesize", "synthesize"), ("sft", "sft"), ("sft-2", "weak"), ("dpo", "dpo")):
        source = tasks[task]["inputs"]["parameters"]["section"]["taskOutputParameter"]
        assert source == {"outputParameterKey": name, "producerTask": "check"}
        section = getattr(params, name)
        sent = json_format.MessageToDict(json_format.ParseDict(sections[name], Struct()))
        assert config.validate(type(section), sent, name) == section


@pytest.mark.parametrize(("model", "task"), [("weak", "sft-2"), ("sft", "sft")])
def test_the_model_that_is_sampled_is_the_one_of_the_profile(model, task, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text((CONFIGS / "sense-7b.yaml").read_text().replace("  model: weak", f"  model: {model}"))
    text = compile_pipeline(build(config.load(file), file.read_text(), "code", "data"))
    tasks = next(yaml.safe_load_all(text))["root"]["dag"]["tasks"]
    shards = next(row for row in tasks.values() if "parameterIterator" in row)
    assert f"pipelinechannel--{task}-model" in shards["inputs"]["artifacts"]


def test_what_tasks_ask_of_kubernetes_is_valid_for_its_protobuf(large):
    _, platform = yaml.safe_load_all(large)
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for executor in executors.values():
        json_format.ParseDict(executor, KubernetesExecutorConfig())
        assert executor["securityContext"] == {"runAsGroup": "0", "runAsNonRoot": True, "runAsUser": "1000"}


def test_the_table_of_the_large_profile(large):
    rows = {row["stage"]: row for row in describe_tasks(large)}
    assert list(rows) == [
        "check", "seeds", "ingest", "synthesize", "sft", "weak", "sample", "merge", "prefer", "dpo", "evaluate",
        "collect", "gate", "publish", "register", "report", "version",
    ]  # fmt: skip
    assert rows["sft"] == {
        "stage": "sft",
        "image": "sense-train:0.1.0",
        "GPU": "8 x nvidia.com/gpu",
        "cpu": "32",
        "memory": "512Gi",
        "nodes": "nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3",
        "tolerations": "nvidia.com/gpu:NoSchedule",
        "pod": "",
        "volumes": "sense-weights at /weights, sense-checkpoints at /checkpoints, 64Gi memory at /dev/shm",
        "retries": "3, after 60s x 2",
        "timeout": "172800 s",
        "cache": "yes",
    }
    assert {name for name, row in rows.items() if row["GPU"]} == {"check", "sft", "weak", "sample", "dpo", "evaluate"}
    assert {name for name, row in rows.items() if row["cache"] == "no"} == {"check", "gate", "publish", "register", "version"}
    without = {name for name, row in rows.items() if "sense-checkpoints" not in row["volumes"]}
    assert without == {"seeds", "merge", "collect", "gate", "version"}


def test_unfinished_work_in_an_object_store_needs_no_claim(tmp_path):
    text = compile_pipeline(build(*with_cluster(tmp_path, "\ncluster:\n  checkpoints: {uri: s3://sense/work}\n"), "code", "data"))
    spec = next(yaml.safe_load_all(text))
    for name in ("check", "sft", "sample", "dpo", "evaluate"):
        container = spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
        assert {"name": "SENSE_CHECKPOINTS", "value": "s3://sense/work"} in container["env"]
    assert "pvcMount" not in text
    for wrong in ("{claim: a}", "{path: /a}", "{claim: a, path: /a, uri: s3://b}", "{}"):
        with pytest.raises(ConfigError, match=r"cluster\.checkpoints.*give either claim and path, or uri"):
            with_cluster(tmp_path, f"\ncluster:\n  checkpoints: {wrong}\n")


def test_claims_that_several_nodes_mount_are_told(capsys):
    assert cli.main(["pipeline", "describe", "--params", str(CONFIGS / "sense-7b.yaml")]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "the claim sense-checkpoints: it must be ReadWriteMany" in told
    assert "the claim sense-weights: it must be ReadOnlyMany or ReadWriteMany" in told


POD = """
resources:
  defaults:
    queue: research
    labels: {cost-centre: a7}
  sft:
    priority_class: high
    annotations: {example.com/note: "no, not this one"}
    node_affinity:
      - {key: zone, values: [a, b]}
      - {key: spot, operator: DoesNotExist}
      - {key: disk, values: [nvme], weight: 10}
"""


def with_cluster(folder, text):
    """The tiny profile, with `text` in place of its cluster and resources."""
    file = folder / "params.yaml"
    file.write_text(config_text("tiny").partition("\ncluster:")[0] + text)
    return config.load(file), file.read_text()


def config_text(profile):
    return (CONFIGS / f"{profile}.yaml").read_text()


def test_labels_annotations_affinity_and_kueue_reach_the_pod_and_the_table(tmp_path):
    params, text = with_cluster(tmp_path, POD)
    pipeline = compile_pipeline(build(params, text, "code", "data"))
    _, platform = yaml.safe_load_all(pipeline)
    executor = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-sft"]
    labels = {"cost-centre": "a7", "kueue.x-k8s.io/queue-name": "research", "kueue.x-k8s.io/priority-class": "high"}
    assert executor["podMetadata"] == {"labels": labels, "annotations": {"example.com/note": "no, not this one"}}
    required, preferred = executor["nodeAffinity"]  # terms without a weight would be alternatives
    assert [rule["key"] for rule in required["matchExpressions"]] == ["zone", "spot"]
    assert (preferred["weight"], preferred["matchExpressions"][0]["values"]) == (10, ["nvme"])
    rows = {row["stage"]: row for row in describe_tasks(pipeline)}
    assert rows["sft"]["nodes"] == "zone In a b, spot DoesNotExist, disk In nvme (preferred, 10)"
    assert "kueue.x-k8s.io/priority-class=high" in rows["sft"]["pod"]
    assert rows["weak"]["pod"] == "cost-centre=a7, kueue.x-k8s.io/queue-name=research"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resources: {sft: {priority_class: high}}", "sft.priority_class is Kueue's: give sft.queue too"),
        ("resources: {sft: {node_affinity: [{key: a}]}}", "operator In needs values"),
        ("resources: {sft: {labels: {a: b c}}}", "resources.sft.labels.a"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused_at_once(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        with_cluster(tmp_path, f"\n{text}\n")


def test_without_the_cache_no_task_is_taken_from_it(tmp_path):
    params, text = with_cluster(tmp_path, "\ncluster: {cache: false}\n")
    rows = describe_tasks(compile_pipeline(build(params, text, "code", "data")))
    assert {row["cache"] for row in rows} == {"no"}


def test_secrets_are_named_and_never_written(large, monkeypatch):
    monkeypatch.setenv("SENSE_API_KEY", "sk-very-secret")
    text = build_now("sense-7b")
    assert text == large
    assert "sk-very-secret" not in text
    _, platform = yaml.safe_load_all(text)
    executor = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-synthesize"]["secretAsEnv"]
    assert [secret["optional"] for secret in executor] == [True] * 3


def test_a_task_learns_of_its_run_from_labels_of_its_pod_and_not_from_inputs(large):
    """An input with the id of the run would be another cache key in every run."""
    spec, platform = yaml.safe_load_all(large)
    executor = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-sft-2"]
    paths = {one["name"]: one["fieldPath"] for one in executor["fieldPathAsEnv"]}
    assert paths["SENSE_PIPELINE_RUN_ID"] == "metadata.labels['pipeline/runid']"
    env = {one["name"]: one["value"] for one in spec["deploymentSpec"]["executors"]["exec-sft-2"]["container"]["env"]}
    assert env["SENSE_PIPELINE_NAME"] == "weak"
    assert "{{$.pipeline_job" not in large


def test_a_run_parameter_changes_the_cache_keys():
    one, other = (next(yaml.safe_load_all(built("tiny", rev))) for rev in ("one", "other"))
    parameters = [spec["root"]["dag"]["tasks"]["sft"]["inputs"]["parameters"]["code_rev"] for spec in (one, other)]
    assert [value["runtimeValue"]["constant"] for value in parameters] == ["one", "other"]


def test_the_command_writes_the_pipeline(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(CONFIGS.parent)
    file = tmp_path / "pipeline.yaml"
    assert cli.main(["pipeline", "compile", "--profile", "tiny", "-o", str(file)]) == 0
    assert next(yaml.safe_load_all(file.read_text()))["pipelineInfo"]["name"] == "sense"
    assert cli.main(["pipeline", "describe", "--profile", "tiny"]) == 0
    assert "synthesize" in capsys.readouterr().out
    assert cli.main(["pipeline", "compile", "--profile", "none", "-o", str(file)]) == 2


@pytest.mark.parametrize("profile", PROFILES)
def test_go_and_python_read_the_same_and_kfp_loads_it(profile):
    text = built(profile)
    assert read_as_go(text) == read_as_python(text)
    assert text.startswith("# PIPELINE DEFINITION\n# Name: sense\n")
    assert components.load_component_from_text(text).name == "sense"


def test_every_text_of_the_parameters_is_a_text_for_go_wherever_it_stands():
    """A secret that is called y, a node's label null=1e5, a taint, an environment variable N, an image, a model, a path."""
    texts = dict(zip((f"V{number}" for number in range(len(TEXTS))), TEXTS, strict=True))
    more = {
        "image": "1e5",
        "remote": "1.5e3",
        "env": texts | {"y": "n", "N": "1_000"},
        "secrets": {"y": {"null": "on"}, "1e5": {"0o14": "NO"}},
        "config_maps": {"0x1f": {"~": "off"}},
        "image_pull_secrets": ["1e5", "n"],
        "checkpoints": {"claim": "014", "path": "/1e5"},
    }
    file = CONFIGS / "tiny.yaml"
    value = config.parse(file.read_text(), "tiny")
    value["cluster"] = value.get("cluster", {}) | more
    value["resources"] = {
        "defaults": {
            "node_selector": {text: text for text in SHORT},
            "tolerations": [{"key": text, "value": text, "effect": "NoSchedule"} for text in TEXTS],
        }
    }
    value["data"] = {"seeds": "0o14"}
    params = config.validate(config.Params, value, "tiny")
    text = compile_pipeline(build(params, "y", "1e5", "n"))
    spec, platform = read_as_go(text)
    assert [spec, platform] == read_as_python(text)
    env = {one["name"]: one.get("value", "") for one in spec["deploymentSpec"]["executors"]["exec-sft"]["container"]["env"]}
    assert more["env"].items() <= env.items()
    task = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-sft"]
    assert task["nodeSelector"]["labels"] == {text: text for text in SHORT}
    tolerations = [(one.get("key", ""), one.get("value", "")) for one in task["tolerations"]]
    assert tolerations == [(text, text) for text in TEXTS]
    assert {secret["secretName"] for secret in task["secretAsEnv"]} == {"y", "1e5"}
    (seeds,) = [one for name, one in spec["root"]["dag"]["tasks"].items() if name == "seeds"]
    assert seeds["inputs"]["parameters"]["folder"]["runtimeValue"]["constant"] == "0o14"
    (check,) = [one for name, one in spec["root"]["dag"]["tasks"].items() if name == "check"]
    assert check["inputs"]["parameters"]["data_rev"]["runtimeValue"]["constant"] == "n"


_TEXT = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_VALUE = st.recursive(
    _TEXT | st.booleans() | st.integers(-(2**53), 2**53) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(st.dictionaries(_TEXT, _VALUE, min_size=1, max_size=4))
def test_quoted_yaml_is_the_same_for_go_and_python(value):
    text = quoted_yaml(value)
    assert read_as_go(text) == [value]
    assert read_as_python(text) == [value]


@pytest.mark.parametrize(
    "file",
    [
        "docs/trainer-rbac.yaml",
        *(f"charts/sense/examples/{file.name}" for file in CONFIGS.parent.glob("charts/sense/examples/*.yaml")),
    ],
)
def test_the_files_for_kubernetes_in_the_repository_are_the_same_for_go_and_python(file):
    text = (CONFIGS.parent / file).read_text()
    assert read_as_go(text) == read_as_python(text)
