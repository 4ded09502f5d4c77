"""The documented TrainJob runs the stages' own commands, and holds together: claims, mounts, labels, environment."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from sense.config import Params, load

ROOT = Path(__file__).parents[2]
JOB, RUNTIME, TRAINING = yaml.safe_load_all((ROOT / "docs" / "trainjob.yaml").read_text())
TEXT = (ROOT / "docs" / "multi-node.md").read_text()
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
(REPLICATED,) = RUNTIME["spec"]["template"]["spec"]["replicatedJobs"]
NODE = REPLICATED["template"]["spec"]["template"]
TRAINER = TRAINING["spec"]["trainer"]
CLUSTER = load(ROOT / "configs" / "sense-7b.yaml").cluster


def flags(arguments):
    """{flag: value} of a command, however the two are joined."""
    joined = " ".join(arguments).replace("=", " ").split()
    return dict(zip(joined[::2], joined[1::2], strict=True))


def dvc(stage):
    return flags(shlex.split(STAGES[stage]["cmd"])[2:])


def test_the_training_is_the_stages_command():
    assert TRAINER["command"] == ["torchrun"]
    assert TRAINER["args"][:3] == ["-m", "sense", "sft"]
    assert flags(TRAINER["args"][3:]) == dvc("sft") | {"--params": "/params/params.yaml"}


def test_dpo_and_the_weak_model_are_the_stages_commands_too():
    commented = re.search(r"args: \[-m, sense, dpo, (.*?)\]", TEXT, re.DOTALL).group(1)
    assert flags(re.split(r",\s+", commented)) == dvc("dpo") | {"--params": "/params/params.yaml"}
    weak = dvc("weak")
    assert f"`--section={weak['--section']}`" in TEXT
    assert f"(`{weak['--model']}`, `{weak['--curve']}`, `{weak['--metrics']}`)" in TEXT


def test_the_fields_are_those_of_the_api():
    assert {part["apiVersion"] for part in (RUNTIME, TRAINING)} == {"trainer.kubeflow.org/v1alpha1"}
    assert set(TRAINING["spec"]) <= {"runtimeRef", "trainer", "suspend", "activeDeadlineSeconds", "managedBy"}
    allowed = {"image", "command", "args", "env", "numNodes", "numProcPerNode", "resourcesPerNode"}
    assert set(TRAINER) <= allowed
    assert {type(TRAINER[name]) for name in ("numNodes", "numProcPerNode")} == {int}
    assert set(RUNTIME["spec"]) <= {"mlPolicy", "podGroupPolicy", "template"}
    assert RUNTIME["spec"]["mlPolicy"] == {"numNodes": 1, "torch": {}}
    reference = TRAINING["spec"]["runtimeRef"]
    assert (reference["kind"], reference["name"]) == (RUNTIME["kind"], RUNTIME["metadata"]["name"])
    # Trainer finds the pods to train in by these
    assert REPLICATED["name"] == "node"
    assert REPLICATED["template"]["metadata"]["labels"] == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    assert [container["name"] for container in NODE["spec"]["containers"]] == ["node"]


def test_every_gpu_has_its_process():
    for amount in TRAINER["resourcesPerNode"].values():
        assert amount["nvidia.com/gpu"] == TRAINER["numProcPerNode"]


@pytest.mark.parametrize("pod", [JOB["spec"]["template"]["spec"], NODE["spec"]], ids=["data", "training"])
def test_a_pod_mounts_what_it_has_and_may_little(pod):
    (container,) = pod["containers"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    assert len({mount["mountPath"] for mount in container["volumeMounts"]}) == len(mounts)
    assert container["workingDir"] == "/run/sense"
    assert pod["securityContext"]["runAsUser"] == CLUSTER.run_as_user
    assert pod["securityContext"]["runAsGroup"] == CLUSTER.run_as_group
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["image"] == TRAINER["image"] == CLUSTER.image


def test_claims_and_places_are_the_pipelines():
    claims = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in NODE["spec"]["volumes"] if "persistentVolumeClaim" in v}
    places = {mount["name"]: mount["mountPath"] for mount in NODE["spec"]["containers"][0]["volumeMounts"]}
    assert (claims["weights"], places["weights"]) == (CLUSTER.weights.claim, CLUSTER.weights.path)
    assert (claims["checkpoints"], places["checkpoints"]) == (CLUSTER.checkpoints.claim, CLUSTER.checkpoints.path)
    values = {entry["name"]: entry.get("value") for entry in TRAINER["env"]}
    assert values["SENSE_WORK"] == f"{CLUSTER.checkpoints.path}/work"
    assert values["HF_HUB_CACHE"] == CLUSTER.weights.path


def test_secrets_come_by_reference_and_torchruns_variables_from_trainer():
    allowed = {
        (name, key): variable for name, keys in (CLUSTER.secrets | CLUSTER.config_maps).items() for key, variable in keys.items()
    }
    for entry in [*TRAINER["env"], *JOB["spec"]["template"]["spec"]["containers"][0]["env"]]:
        assert not re.match(r"PET_|RANK$|WORLD_SIZE$|LOCAL_RANK$|MASTER_", entry["name"])
        if "value" not in entry:
            ((_, source),) = entry["valueFrom"].items()
            assert allowed[source["name"], source["key"]] == entry["name"]
    assert {entry["name"] for entry in TRAINER["env"] if "value" in entry} == {"SENSE_WORK", "HF_HUB_CACHE"}


def test_the_data_job_fetches_the_inputs():
    container = JOB["spec"]["template"]["spec"]["containers"][0]
    remote, *pairs = container["args"]
    assert remote == CLUSTER.remote
    assert {pair.split("=")[0] for pair in pairs} == {dvc("sft")["--strong"], dvc("sft")["--seed"]}
    compile(container["command"][2], "job", "exec")


def test_the_text_names_what_there_is():
    assert set(re.findall(r"`(\w+)\.(?:train|lora)", TEXT)) <= set(Params.model_fields)
    for claim in ("sense-run", "sense-checkpoints", "sense-weights"):
        assert f"`{claim}`" in TEXT
    for component in re.findall(r"-l app\.kubernetes\.io/component=(\w+)", TEXT):
        assert component in {part["metadata"]["labels"]["app.kubernetes.io/component"] for part in (JOB, RUNTIME, TRAINING)}
