"""The manifests of a training on several nodes: valid for Trainer and Kubernetes, and asking for what the profile says."""

import json
import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from kubeflow_trainer_api import models

from pipelines.sense import build
from sense import config
from sense.errors import ConfigError
from sense.kubeflow import local, node, train_job
from sense.kubeflow.pipeline_spec import compile_pipeline, describe_tasks

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "multi-node.md").read_text()
SEVERAL = """
cluster:
  checkpoints: {claim: shared, path: /checkpoints}
  weights: {claim: weights, path: /weights}
  image_pull_secrets: [registry]
  authorities: {config_map: trust}
  secrets: {s3: {key: AWS_SECRET_ACCESS_KEY}}
  config_maps: {sense: {uri: MLFLOW_TRACKING_URI}}
  env: {NCCL_DEBUG: WARN}
  labels: {team: nlp}
resources:
  sft: &training
    nodes: 2
    gpus: 8
    cpu: "32"
    memory: 512Gi
    shm: 64Gi
    queue: research
    priority_class: high
    labels: {cost-centre: a7}
    annotations: {example.com/note: "yes"}
    node_selector: {gpu: h100}
    tolerations: [{key: gpu, operator: Exists, effect: NoSchedule}]
    node_affinity: [{key: zone, values: [a, b]}, {key: spot, operator: DoesNotExist}, {key: disk, values: [nvme], weight: 10}]
    timeout_s: 60
    retries: 3
  dpo: *training
"""


def params(text):
    value = config.parse((ROOT / "configs" / "tiny.yaml").read_text().partition("\ncluster:")[0] + text, "tiny")
    return config.validate(config.Params, value, "tiny")


MANIFESTS = train_job.manifests("sft", params(SEVERAL))
RUNTIME, JOB = MANIFESTS["runtime"], MANIFESTS["job"]
(REPLICATED,) = RUNTIME["spec"]["template"]["spec"]["replicatedJobs"]
POD = REPLICATED["template"]["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]


def test_trainer_knows_every_field():
    """Its models leave out what they do not know, and refuse what is of another type."""
    runtime = json.loads(json.dumps(RUNTIME)) | {"metadata": RUNTIME["metadata"] | {"name": "a"}}
    assert models.TrainerV1alpha1TrainingRuntime.from_dict(runtime).to_dict() == runtime
    job = json.loads(json.dumps(JOB))
    job["spec"]["runtimeRef"]["name"] = job["metadata"]["name"] = "a"
    assert models.TrainerV1alpha1TrainJob.from_dict(job).to_dict() == job


def test_kubernetes_knows_the_pod_and_the_role():
    """Trainer fills in image, command and resources; the pod is valid without them too."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"} | POD["metadata"], "spec": POD["spec"]}
    kubernetes_validate.validate(pod, "1.33", strict=True)
    for document in yaml.safe_load_all((ROOT / "docs" / "trainer-rbac.yaml").read_text()):
        kubernetes_validate.validate(document, "1.33", strict=True)


def test_trainer_finds_the_pods_to_train_in():
    assert (REPLICATED["name"], CONTAINER["name"]) == ("node", "node")
    assert REPLICATED["template"]["metadata"]["labels"] == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    assert REPLICATED["template"]["spec"]["backoffLimit"] == 0
    trainer = JOB["spec"]["trainer"]
    assert (trainer["command"], trainer["args"]) == (["torchrun"], ["-m", node.__name__])
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 8)
    amounts = {"cpu": "32", "memory": "512Gi", "nvidia.com/gpu": "8"}
    assert trainer["resourcesPerNode"] == {"requests": amounts, "limits": amounts}


def test_a_pod_mounts_what_it_has_and_may_little():
    mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in POD["spec"]["volumes"]}
    places = {"checkpoints": "/checkpoints", "weights": "/weights", "shm": "/dev/shm", "tmp": "/tmp"}
    assert mounts == places | {"authorities": "/etc/sense/ca"}
    assert POD["spec"]["securityContext"]["runAsNonRoot"] is True
    assert POD["spec"]["automountServiceAccountToken"] is False
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"] is True


def test_where_it_runs_is_what_the_profile_says():
    affinity = POD["spec"]["affinity"]["nodeAffinity"]
    zone = {"key": "zone", "operator": "In", "values": ["a", "b"]}
    required = [{"matchExpressions": [zone, {"key": "spot", "operator": "DoesNotExist"}]}]
    assert affinity["requiredDuringSchedulingIgnoredDuringExecution"] == {"nodeSelectorTerms": required}
    assert [term["weight"] for term in affinity["preferredDuringSchedulingIgnoredDuringExecution"]] == [10]
    assert POD["spec"]["nodeSelector"] == {"gpu": "h100"}
    assert POD["spec"]["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert {"team": "nlp", "cost-centre": "a7"}.items() <= POD["metadata"]["labels"].items()
    kueue = {"kueue.x-k8s.io/queue-name": "research", "kueue.x-k8s.io/priority-class": "high"}
    assert kueue.items() <= JOB["metadata"]["labels"].items()  # Kueue admits the job as a whole
    assert not kueue.keys() & POD["metadata"]["labels"].keys()


def test_secrets_come_by_reference_and_torchruns_variables_from_trainer():
    entries = {entry["name"]: entry.get("value") or entry["valueFrom"] for entry in JOB["spec"]["trainer"]["env"]}
    assert not [name for name in entries if re.match(r"PET_|RANK$|WORLD_SIZE$|LOCAL_RANK$|MASTER_", name)]
    authorities = dict.fromkeys(train_job.AUTHORITIES, "/etc/sense/ca/ca-bundle.crt")
    assert entries == authorities | {
        "SENSE_WORK": "/checkpoints/work",
        "HF_HUB_CACHE": "/weights",
        "NCCL_DEBUG": "WARN",
        "AWS_SECRET_ACCESS_KEY": {"secretKeyRef": {"name": "s3", "key": "key", "optional": True}},
        "MLFLOW_TRACKING_URI": {"configMapKeyRef": {"name": "sense", "key": "uri", "optional": True}},
    }


@pytest.fixture(scope="module")
def compiled():
    return compile_pipeline(build(params(SEVERAL), "text", "code", "data"))


def test_the_task_gets_its_manifests_and_waits_with_little(compiled):
    spec, platform = yaml.safe_load_all(compiled)
    parameters = {name: task.get("inputs", {}).get("parameters", {}) for name, task in spec["root"]["dag"]["tasks"].items()}
    jobs = {name: values["job"]["runtimeValue"]["constant"] for name, values in parameters.items() if "job" in values}
    assert json.loads(jobs["sft"]) == MANIFESTS
    assert jobs["sft-2"] == ""  # the weak model's, on one node
    rows = {row["stage"]: row for row in describe_tasks(compiled)}
    row = rows["sft"]
    assert row["GPU"] == rows["dpo"]["GPU"] == "TrainJob: 2 nodes of 8 x nvidia.com/gpu"
    assert (row["cpu"], row["memory"], row["nodes"], row["tolerations"], row["timeout"]) == ("1", "4Gi", "", "", "60 s")
    assert "kueue" not in row["pod"]
    assert "shared at /checkpoints" in row["volumes"]
    executor = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-sft"]
    assert {"name": "SENSE_PIPELINE_RUN_ID", "fieldPath": "metadata.labels['pipeline/runid']"} in executor["fieldPathAsEnv"]


def test_a_run_on_this_machine_has_one_node():
    text = compile_pipeline(build(local.without_cluster(params(SEVERAL)), "text", "code", "data"))
    assert "trainer.kubeflow.org" not in text
    assert {row["GPU"] for row in describe_tasks(text) if row["stage"] == "sft"} == {"8 x nvidia.com/gpu"}


@pytest.mark.parametrize("checkpoints", ["", "  checkpoints: {uri: s3://sense/work}\n"])
def test_nodes_without_a_claim_are_refused(checkpoints):
    with pytest.raises(ConfigError, match=r"resources.sft.nodes is 2, resources.weak.nodes is 3: .* ReadWriteMany claim"):
        params(f"\ncluster:\n  disk_gb: 1\n{checkpoints}resources:\n  sft: {{nodes: 2}}\n  weak: {{nodes: 3}}\n")


@pytest.mark.parametrize("task", ["evaluate", "defaults"])
def test_only_trainings_have_several_nodes(task):
    with pytest.raises(ConfigError, match="only sft, weak, dpo can use several nodes"):
        params(f"\ncluster:\n  checkpoints: {{claim: a, path: /a}}\nresources:\n  {task}: {{nodes: 2}}\n")


def test_the_page_and_the_role_name_what_there_is():
    assert set(re.findall(r"`(\w+)\.(?:train|lora)", TEXT)) <= set(config.Params.model_fields)
    (profile,) = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]
    parsed = params("\n" + yaml.safe_dump(profile))
    assert parsed.resources.sft.nodes == 2
    role, binding = yaml.safe_load_all((ROOT / "docs" / "trainer-rbac.yaml").read_text())
    (objects,) = [rule for rule in role["rules"] if rule["apiGroups"] == [train_job.GROUP]]
    assert objects["resources"] == [train_job.JOBS, train_job.RUNTIMES]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
