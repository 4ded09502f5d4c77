"""The pipeline as Kubeflow runs it, every task in a process of its own: what it leaves, not what the runner says."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kfp import dsl

from components import ingest, seeds, synthesize
from pipelines.sense import publish_if_better
from sense import cli, config, records
from sense.errors import SenseError, UserError
from sense.kubeflow import local
from sense.kubeflow.pipeline_spec import compile_pipeline
from sense.stages import shards
from tests.docker import container
from tests.mlflow_store import fresh, opened
from tests.own.shop import write_shop
from tests.registered_models import publish_inputs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
INPUTS = {"sample_k": 3, "dpo_learning_rate": 1.0e-4}  # the profile has 2 and 5e-5


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the tiny profile, a data remote and a store of MLflow, after a run of the pipeline in it."""
    if container.is_required():
        pytest.skip("the same pipeline runs in containers here (tests/docker), and once is minutes enough")
    folder = tmp_path_factory.mktemp("kubeflow")
    text = (ROOT / "configs" / "tiny.yaml").read_text()
    (folder / "params.yaml").write_text(text.replace("cluster:\n", f"cluster:\n  remote: {folder / 'remote'}\n"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "remote").mkdir()
    command = [sys.executable, "-m", "sense", "pipeline", "run", "--runner", "subprocess", "--root", "out"]
    command += [word for name, value in INPUTS.items() for word in ("--input", f"{name}={value}")]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def run(root):
    (folder,) = (root / "out").iterdir()
    return folder


def test_every_task_has_left_its_outputs(run):
    tasks = sorted(note.parent.relative_to(run).as_posix() for note in run.rglob("executor_output.json"))
    assert tasks == sorted(
        "check seeds ingest synthesize sft sft-2 merge prefer dpo evaluate collect report gate publish version".split()
        + [f"for-loop-2-iteration-{shard}/sample" for shard in range(2)]
    )
    assert (run / "report" / "report").read_text().startswith("<!doctype html>")
    assert "| SENSE |" in (run / "evaluate" / "summary").read_text()


def test_mlflow_has_one_tree_of_all_tasks_and_the_page_links_to_it(root, run):
    client = opened(root / "mlflow.db")
    rows = client.search_runs([client.get_experiment_by_name("sense").experiment_id])
    (whole,) = [row for row in rows if "mlflow.parentRunId" not in row.data.tags]
    assert whole.info.status == "FINISHED"
    beneath = [row for row in rows if row.data.tags.get("mlflow.parentRunId") == whole.info.run_id]
    tasks = (
        "check seeds ingest synthesize sft weak sample-0 sample-1 merge prefer version dpo evaluate collect gate publish report"
    )
    assert sorted(row.data.tags["sense.task"] for row in beneath) == sorted(tasks.split())
    assert {row.info.status for row in beneath} == {"FINISHED"}
    assert {row.data.tags["kfp.pipeline_run_id"] for row in beneath} == {whole.data.tags["kfp.pipeline_run_id"]}
    by_task = {row.data.tags["sense.task"]: row for row in beneath}
    assert by_task["evaluate"].data.metrics["final.sets.dev.models.sense.ex"] >= 0
    (version_run,) = [row for row in rows if row not in [whole, *beneath]]
    assert version_run.data.tags["mlflow.parentRunId"] == by_task["publish"].info.run_id
    assert whole.data.tags["sense.version"] == "models:/sense/1"
    assert whole.data.tags["sense.data.strong"] == by_task["version"].data.tags["sense.data.strong"]
    notes = json.loads((run / "sft" / "executor_output.json").read_text())["artifacts"]["summary"]["artifacts"][0]
    assert notes["metadata"]["mlflow_run_id"] == by_task["sft"].info.run_id
    assert by_task["sft"].info.run_id in (run / "sft" / "summary").read_text()


def test_the_inputs_of_the_run_reach_the_stages_the_data_version_and_mlflow(root, run):
    client = opened(root / "mlflow.db")
    rows = client.search_runs([client.get_experiment_by_name("sense").experiment_id])
    by_task = {row.data.tags.get("sense.task", ""): row.data.params for row in rows if "kfp.pipeline_run_id" in row.data.tags}
    assert by_task[""]["sample_k"] == by_task["sample-0"]["k"] == "3"
    assert by_task["dpo"]["train.learning_rate"] == "0.0001"
    assert {by_task[name]["train.learning_rate"] for name in ("sft", "weak")} == {"0.002"}
    samples = records.read_rows(run / "merge" / "samples", records.Sample)
    assert len(samples) == 3 * len(
        {sample.id.rpartition("/")[0] if "/" in sample.id else sample.example_id for sample in samples}
    )
    lock = yaml.safe_load((run / "version" / "lock").read_text())
    assert lock["stages"]["sample"]["params"]["params.yaml"]["sample"]["k"] == 3


def test_the_costs_of_all_tasks_stand_beside_collect(run):
    text = (run / "collect" / "summary").read_text()
    for section in ("ingest", "synthesize", "sft", "weak", "sample", "prefer", "dpo", "evaluate"):
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {section} |")]
        assert "not recorded" not in row
    assert "generated" in text
    assert "EX for an hour: " in text


def test_shards_of_samples_are_joined_without_loss(run):
    parts = [shards.read_shard(path).samples for path in sorted(run.glob("for-loop-2-iteration-*/sample/samples"))]
    whole = records.read_rows(run / "merge" / "samples", records.Sample)
    assert sorted(row.id for part in parts for row in part) == sorted(row.id for row in whole)
    assert len(whole) == records.read_json(run / "merge" / "metrics")["samples"] > 0


def test_the_model_is_in_the_registry_with_its_weights(root, run, tmp_path):
    client = opened(root / "mlflow.db")
    record = records.read_json(run / "publish" / "record")
    version = client.get_model_version_by_alias("sense", "champion")
    assert record["uri"] == f"models:/sense/{version.version}"
    files = [item.path for item in client.list_logged_model_artifacts(record["model_id"], "model")]
    assert "model/model.safetensors" in files


def test_the_data_can_be_pulled_by_the_digests_of_the_lock(root, run, tmp_path):
    from sense import data_versions

    lock = yaml.safe_load((run / "version" / "lock").read_text())
    digests = {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}
    data_versions.pull(str(root / "remote"), digests["data/strong"], tmp_path / "strong")
    assert records.digest(tmp_path / "strong") == records.digest(run / "synthesize" / "strong")
    noted = json.loads((run / "version" / "executor_output.json").read_text())["artifacts"]["lock"]["artifacts"][0]["metadata"]
    assert noted["data/strong"] == digests["data/strong"]


def test_metrics_of_a_task_are_numbers_that_the_page_shows(run):
    noted = json.loads((run / "evaluate" / "executor_output.json").read_text())["artifacts"]["metrics"]["artifacts"][0]
    artifacts = records.read_json(run / "evaluate" / "metrics")
    assert noted["metadata"]["sets.dev.models.sense.ex"] == artifacts["sets"]["dev"]["models"]["sense"]["ex"]


def test_outputs_that_are_missing_are_noticed_whatever_the_runner_said(root, run, tmp_path):
    file = root / "params.yaml"
    params = local.without_cluster(config.load(file))
    from pipelines.sense import build

    text = compile_pipeline(build(params, file.read_text(), "code", "data"))
    local.verify(run, text)
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("prefer", "publish", "model"))
    with pytest.raises(SenseError, match=r"no output of (prefer, condition-branches-3|condition-branches-3, prefer)"):
        local.verify(tmp_path / "run", text)


def _judging(model, params):
    """A pipeline of the gate and its branches alone, on files that are there."""
    data = ("predictions", "dev", "heldout", "strong", "samples", "pairs")
    kinds = {"sense": dsl.Model, "evaluation": dsl.Metrics, **dict.fromkeys(data, dsl.Dataset)}

    @dsl.pipeline(name="judging")
    def judging():
        artifacts = {
            name: dsl.importer(artifact_uri=str(getattr(model, name)), artifact_class=kind, reimport=True).output
            for name, kind in kinds.items()
        }
        section = params.publish.model_dump(mode="json", exclude_none=True)
        publish_if_better(params, section, {"code_rev": "code", "data_rev": "data"}, **artifacts)

    return judging


def _writing(params):
    """A pipeline of the tasks that write data, on databases of one's own."""
    revisions = {"code_rev": "code", "data_rev": "data"}
    sections = params.model_dump(mode="json", exclude_none=True)

    @dsl.pipeline(name="writing")
    def writing():
        fetched = seeds.seeds(
            remote="",
            revision="",
            folder=params.data.seeds,
            own_revisions=[],
            own_folders=params.synthesize.own,
            data_rev="data",
        ).outputs
        ingested = ingest.ingest(section=sections["ingest"], seeds=fetched["seeds"], **revisions).outputs
        synthesize.synthesize(
            section=sections["synthesize"], seed=ingested["seed"], dev=ingested["dev"], own=fetched["own"], **revisions
        )

    return writing


def test_databases_of_ones_own_travel_to_the_tasks_and_give_the_data_of_dvc(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_shop(tmp_path / "shop.sqlite")
    (tmp_path / "q.csv").write_text("question,sql\nCities?,SELECT city FROM customers\nWho?,SELECT name FROM employees\n")
    assert cli.main(["own", "shop.sqlite", "--rows", "60", "--questions", "q.csv"]) == 0
    own = str(tmp_path / "data/own")
    value = yaml.safe_load((ROOT / "configs" / "tiny.yaml").read_text())
    value["data"]["seeds"] = own
    value["synthesize"] |= {"own": [own], "count": 45, "grammar": {"per_database": 5}, "execution": {"workers": 1}}
    params = config.validate(config.Params, value, "params.yaml")
    folder = local.run(_writing(params), "subprocess", tmp_path / "out", {}, "")
    records.write_text(tmp_path / "params.yaml", yaml.safe_dump(value))
    ports = [f"--{name}={folder / 'ingest' / name}" for name in ("seed", "dev")]
    ports += [f"--{name}={tmp_path / name}" for name in ("strong", "unseen", "heldout", "decontamination", "metrics")]
    assert cli.main(["synthesize", *ports]) == 0
    for split in ("strong", "unseen", "heldout"):
        task, direct = folder / "synthesize" / split, tmp_path / split
        for name in ("examples.jsonl", "databases"):
            assert records.digest(task / name) == records.digest(direct / name)
        # Kubeflow hands parameters on with their keys in another order
        assert records.read_json(task / "manifest.json") == records.read_json(direct / "manifest.json")
    assert records.read_json(tmp_path / "heldout" / "manifest.json")["section"]["own"] == ["own"]


def test_a_worse_model_is_registered_and_the_champion_stays(tmp_path, monkeypatch):
    """The run ends green in both branches."""
    client = fresh(tmp_path, monkeypatch)
    params = local.without_cluster(config.load(ROOT / "configs" / "tiny.yaml"))
    params = params.model_copy(update={"publish": config.PublishConfig(gate="dev")})
    for number, ex in enumerate((0.6, 0.4)):
        model = publish_inputs(tmp_path / str(number), ex=ex, weights=str(number).encode())
        folder = local.run(_judging(model, params), "subprocess", tmp_path / "out", {}, "")
        (task,) = folder.glob("publish*")
        assert task.name == ("publish-2" if ex == 0.4 else "publish")
    aliases = {alias: str(client.get_model_version_by_alias("sense", alias).version) for alias in ("champion", "challenger")}
    assert aliases == {"champion": "1", "challenger": "2"}


def test_a_failing_task_is_told_with_exit_code_2(tmp_path, monkeypatch):
    fresh(tmp_path, monkeypatch)
    params = local.without_cluster(config.load(ROOT / "configs" / "tiny.yaml"))
    model = publish_inputs(tmp_path / "model")
    records.write_json(model.evaluation, {"sets": {}})
    with pytest.raises(UserError, match=r"Inner task failed: 'gate'; its log is above"):
        local.run(_judging(model, params), "subprocess", tmp_path / "out", {}, "")


def test_a_container_run_without_its_image_or_engine_is_refused_before_anything_runs(tmp_path, monkeypatch, capsys):
    text = (ROOT / "configs" / "tiny.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("cluster:\n", "cluster:\n  image: sense-train:never-built\n"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["pipeline", "run", "--runner", "docker"]) == 2
    stderr = capsys.readouterr().err
    assert any(
        fix in stderr for fix in ("make image IMAGE=sense-train:never-built", "no Docker engine answers", "there is no docker")
    )
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'none.sock'}")
    assert cli.main(["pipeline", "run", "--runner", "docker"]) == 2
    assert "--runner subprocess" in capsys.readouterr().err
    assert not (tmp_path / ".sense").exists()
