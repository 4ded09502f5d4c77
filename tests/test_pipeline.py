"""The pipeline from end to end with real DVC on a copy of the repository, an LLM teacher at the command, and what it refuses."""

import csv
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import warnings
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import pytest
import yaml

from sense import cli, data_versions, records
from sense.data_versions import lock
from sense.records import Example, Pair, Prediction, Sample, Verdict
from sense.report import costs
from tests import documentation
from tests.endpoint import Endpoint, good_teacher
from tests.evaluation_inputs import evaluate_inputs
from tests.pipeline import ROOT, SECTIONS, TINY, inputs, outputs

BIN = Path(sys.executable).parent
SECRET = "supersecret-test"
MODELS = ("base", "sft", "sense")
# Who runs again after a change of a section, read off dvc.yaml by hand.
DOWNSTREAM = {
    "weak": ["weak", "sample", "prefer", "dpo", "evaluate", "publish", "report"],
    "prefer": ["prefer", "dpo", "evaluate", "publish", "report"],
    "evaluate": ["evaluate", "publish", "report"],
    "report": ["report"],
}
CHANGES = {"weak": "seed=7", "prefer": "strategy=all", "evaluate": "limit=15", "report": "examples=9"}


@dataclass(frozen=True)
class Copy:
    """A copy of the repository in which `dvc repro` has run once, and what that printed."""

    root: Path
    environment: dict[str, str]
    printed: str

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False)

    def stdout(self, *arguments: str) -> str:
        """The output of a command, which must succeed."""
        process = self.command(*arguments)
        assert process.returncode == 0, (arguments, process.stdout[-2000:], process.stderr[-4000:])
        return process.stdout

    def metrics(self, section: str) -> dict:
        return json.loads((self.root / "metrics" / f"{section}.json").read_text())


def make_checkout(root: Path) -> Copy:
    """A copy of the repository with the tiny profile, in which nothing has run."""
    shutil.copytree(ROOT / "sense", root / "sense", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "configs", root / "configs")
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "dvc.yaml"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    shutil.copy(TINY, root / "params.yaml")
    checkout = Copy(root, _environment(root), "")
    author = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
    for arguments in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "copy")):
        checkout.stdout("git", *arguments)
    return checkout


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    checkout = make_checkout(tmp_path_factory.mktemp("copy") / "sense")
    repro = checkout.command("dvc", "repro")
    assert repro.returncode == 0, repro.stdout[-2000:] + repro.stderr[-4000:]
    return replace(checkout, printed=repro.stdout + repro.stderr)


def _environment(root):
    """This process's, without what would lead a run out of the copy."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "SENSE_", "DVC_", "GIT_"))}
    places = {f"DVC_{name}_DIR": str(root.parent / name) for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG")}
    return {
        **inherited,
        **places,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "OMP_NUM_THREADS": "1",
        "SENSE_API_KEY": SECRET,
    }


@pytest.mark.slow
def test_every_output_is_there_and_only_the_lock_file_is_new_to_git(copy):
    for section in SECTIONS:
        for path in outputs(section, copy.root).values():
            assert path.exists(), path
    assert copy.command("git", "status", "--porcelain").stdout.split() == ["??", "dvc.lock"]
    assert [path.name for path in (copy.root / ".sense" / "work").iterdir()] == ["cost"]
    assert "Traceback" not in copy.printed
    assert "Warning" not in copy.printed


@pytest.mark.slow
def test_a_second_run_has_nothing_to_do(copy):
    assert json.loads(copy.command("dvc", "status", "--json").stdout) == {}
    again = copy.command("dvc", "repro")
    assert again.returncode == 0
    assert "Running stage" not in again.stdout
    assert "Data and pipelines are up to date." in again.stdout


@pytest.mark.slow
def test_a_commit_without_git_gives_the_lock_that_dvc_has_written_and_a_clone_is_up_to_date(copy, tmp_path):
    artifacts = {"seeds": copy.root / "sense/seeds", "model": copy.root / "models/weak"} | {
        name: copy.root / path for name, path in lock.PATHS.items()
    }
    (tmp_path / "store").mkdir()
    data_versions.commit(copy.root, str(tmp_path / "store"), TINY.read_text(), artifacts, tmp_path / "dvc.lock")
    ours, theirs = (yaml.safe_load((folder / "dvc.lock").read_text()) for folder in (tmp_path, copy.root))
    assert ours["schema"] == theirs["schema"]
    assert ours["stages"] == {name: theirs["stages"][name] for name in lock.STAGES}

    clone = tmp_path / "there" / "sense"
    clone.parent.mkdir()
    other_checkout = Copy(clone, _environment(clone), "")
    copy.stdout("git", "clone", "-q", ".", str(clone))
    shutil.copy(tmp_path / "dvc.lock", clone / "dvc.lock")
    other_checkout.stdout("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    other_checkout.stdout("dvc", "pull", "--allow-missing")  # the models of stages that never ran
    for path in lock.PATHS.values():
        assert records.digest(clone / path) == records.digest(copy.root / path)
    missing = json.loads(other_checkout.stdout("dvc", "status", "--json", *lock.STAGES))
    assert missing == {"sample": [{"changed deps": {"models/weak": "deleted"}}]}
    shutil.copytree(copy.root / "models/weak", clone / "models/weak")
    assert json.loads(other_checkout.stdout("dvc", "status", "--json", *lock.STAGES)) == {}
    assert "Running stage" not in other_checkout.stdout("dvc", "repro", "--single-item", *lock.STAGES)


@pytest.mark.slow
@pytest.mark.parametrize("section", DOWNSTREAM)
def test_a_changed_section_runs_its_stage_and_what_comes_after(copy, section):
    before = (copy.root / "params.yaml").read_text()
    assert copy.command("sense", "profile", "--set", f"{section}.{CHANGES[section]}").returncode == 0
    changed = json.loads(copy.command("dvc", "status", "--json").stdout)
    planned = copy.command("dvc", "repro", "--dry", "--force-downstream").stdout
    (copy.root / "params.yaml").write_text(before)
    assert list(changed) == [section]
    assert re.findall(r"^Running stage '(\w+)'", planned, re.MULTILINE) == DOWNSTREAM[section]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "affected"),
    [
        ("sense/teacher/drafts.py", {"synthesize"}),
        ("sense/teacher/openai.py", {"synthesize"}),
        ("sense/stages/shards.py", {"sample"}),
        ("sense/training/words.txt", {"sft", "weak", "dpo"}),
        ("sense/schema.py", {"ingest", "synthesize", "sft", "weak", "sample", "prefer", "dpo", "evaluate"}),
        ("sense/console.py", set()),
    ],
)
def test_changed_code_affects_the_stages_that_rest_on_it(copy, file, affected):
    content = (copy.root / file).read_bytes()
    (copy.root / file).write_bytes(content + b"\n# changed\n")
    try:
        changed = json.loads(copy.stdout("dvc", "status", "--json"))
    finally:
        (copy.root / file).write_bytes(content)
    assert set(changed) == affected


@pytest.mark.slow
def test_dvc_shows_the_metrics_of_every_section_and_the_three_curves(copy):
    output = json.loads(copy.command("dvc", "metrics", "show", "--json").stdout)[""]["data"]
    assert set(output) == {f"metrics/{section}.json" for section in SECTIONS if section != "report"}
    assert output["metrics/evaluate.json"]["data"]["sets"]["dev"]["models"]["sense"]["n"] == 16
    plots = json.loads(copy.command("dvc", "plots", "show", "--json").stdout)["data"]
    assert set(plots) == {f"metrics/curves/{name}.csv" for name in ("sft", "weak", "dpo")}
    points = plots["metrics/curves/dpo.csv"][0]["content"]["data"]["values"]
    assert [point["step"] for point in points] == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.slow
def test_every_row_of_the_data_is_accounted_for(copy):
    metrics = copy.metrics("synthesize")
    funnel = metrics["funnel"]
    assert funnel["asked"] == funnel["kept"] + sum(funnel["dropped"].values())
    assert (
        funnel["kept"] == sum(metrics["splits"].values()) == sum(metrics["hardness"].values()) == sum(metrics["domains"].values())
    )
    ingest_metrics = copy.metrics("ingest")
    for name in ("seed", "dev"):
        assert ingest_metrics[name]["examples"] == sum(ingest_metrics[name]["hardness"].values())
    sizes = {name: ingest_metrics[name]["examples"] for name in ("seed", "dev")} | metrics["splits"]
    sets = {name: records.read_dataset(copy.root / "data" / name) for name in sizes}
    assert {name: len(rows) for name, rows in sets.items()} == sizes
    databases = Counter(db_id for rows in sets.values() for db_id in {row.db_id for row in rows})
    assert set(databases.values()) == {1}  # no database is in two sets
    samples = list(records.read_jsonl(copy.root / "data/weak/samples.jsonl", Sample))
    sampled = copy.metrics("sample")
    assert sampled["questions"] == len(sets["unseen"])
    assert sampled["samples"] == len(samples) == 2 * sampled["questions"] == sum(sampled["verdicts"].values())
    assert Counter(row.example_id for row in samples) == {row.id: 2 for row in sets["unseen"]}
    pairs = list(records.read_jsonl(copy.root / "data/pairs/pairs.jsonl", Pair))
    preferred = copy.metrics("prefer")
    assert preferred["pairs"] == len(pairs) == sum(preferred["rejected_errors"].values())
    assert preferred["questions"] == len(pairs) + sum(preferred["no_pair"].values())  # at most one pair a question
    assert {row.example_id for row in pairs} <= {row.id for row in sets["unseen"]}


@pytest.mark.slow
def test_the_trainings_saw_the_rows_they_say_and_their_curves_end_where_they_do(copy):
    strong, seed = (len(records.read_dataset(copy.root / "data" / name)) for name in ("strong", "seed"))
    assert copy.metrics("weak")["examples"] + copy.metrics("weak")["dropped"]["longer than max_length"] == strong
    sft = copy.metrics("sft")  # its rows are each example and one renamed copy, either of which may be too long
    dropped = sft["dropped"]["longer than max_length"]
    assert sft["rows"] + dropped == 2 * (strong + seed)
    assert sft["copies"]["not renamed"] == 0
    assert strong + seed - dropped <= sft["copies"]["renamed"] <= sft["examples"]
    dpo = copy.metrics("dpo")
    assert dpo["pairs"] + dpo["dropped"]["longer than max_length"] == copy.metrics("prefer")["pairs"]
    for section, steps in (("sft", 12), ("weak", 12), ("dpo", 6)):
        with (copy.root / f"metrics/curves/{section}.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        metrics = copy.metrics(section)
        assert (metrics["steps"], int(rows[-1]["step"])) == (steps, steps)
        assert metrics["loss"] == float(rows[-1]["loss"])


@pytest.mark.slow
def test_the_evaluation_is_the_count_of_its_verdicts(copy):
    for name, metrics in copy.metrics("evaluate")["sets"].items():
        questions = {row.id: row for row in records.read_dataset(copy.root / "data" / name)}
        before = None
        for model in MODELS:
            stem = f"data/predictions/{name}.{model}"
            predictions = records.read_rows(copy.root / f"{stem}.predictions.jsonl", Prediction)
            verdicts = {row.id: row for row in records.read_rows(copy.root / f"{stem}.verdicts.jsonl", Verdict)}
            assert {row.id for row in predictions} == set(verdicts) <= set(questions)
            row = metrics["models"][model]
            assert row["n"] == metrics["n"] == len(verdicts) == 16
            assert row["verdicts"] == records.verdict_counts(verdict.verdict for verdict in verdicts.values())
            right = {key for key, verdict in verdicts.items() if verdict.correct}
            assert row["ex"] == len(right) / 16
            assert 0 <= row["ex_low"] <= row["ex"] <= row["ex_high"] <= 1
            assert {level: part["n"] for level, part in row["hardness"].items()} == Counter(
                questions[key].hardness for key in verdicts
            )
            changed = (None, None) if before is None else (len(right - before), len(before - right))
            assert (row["wins"], row["losses"]) == changed
            before = right


@pytest.mark.slow
def test_mlflow_holds_the_runs_with_their_curves_and_the_champion(copy):
    from mlflow import MlflowClient

    uri = f"sqlite:///{copy.root}/mlflow.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's and its libraries', at their import
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    runs = client.search_runs([client.get_experiment_by_name("sense").experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert Counter(run.info.run_name for run in runs) == {"sft": 2, "dpo": 1, "publish": 1}
    steps = [len(client.get_metric_history(run.info.run_id, "loss")) for run in runs if run.info.run_name != "publish"]
    assert sorted(steps) == [6, 7, 7]  # dpo logs every step, the others every second and the first
    version = client.get_model_version_by_alias("sense", "champion")
    record = json.loads((copy.root / "models/published.json").read_text())
    assert (record["uri"], str(version.version), record["alias"]) == ("models:/sense/1", "1", "champion")
    stored = Path(client.get_logged_model(record["model_id"]).artifact_location) / "model" / "model.safetensors"
    assert stored.read_bytes() == (copy.root / "models/sense/model.safetensors").read_bytes()
    assert "EX for an hour: " in stored.with_name("README.md").read_text()
    (published,) = (run for run in runs if run.info.run_name == "publish")
    assert published.data.metrics["weak.cost.tokens.trained"] > 0
    trainings = [run for run in runs if run.info.run_name != "publish"]
    assert all(run.data.metrics["cost.cpu_s"] > 0 for run in trainings)


@pytest.mark.slow
def test_the_report_loads_nothing_from_elsewhere(copy):
    page = (copy.root / "report/index.html").read_text()
    assert re.findall(r"""(?:src|href|action)\s*=\s*["']?\s*(?:https?:)?//|url\(\s*["']?\s*(?:https?:)?//|@import""", page) == []
    assert copy.metrics("synthesize")["teacher"] in page


@pytest.mark.slow
def test_results_prints_the_table(copy, capsys, monkeypatch):
    monkeypatch.setenv("SENSE_WORK", str(copy.root / ".sense" / "work"))
    root = ("--metrics", str(copy.root / "metrics"), "--report", str(copy.root / "report/index.html"))
    assert cli.main(["results", *root]) == 0
    output = capsys.readouterr().out
    for expected in (
        "Execution accuracy on dev (16 questions)",
        "Execution accuracy on heldout",
        "MLflow: sense version 1",
        "EX for an hour: ",
        "index.html",
    ):
        assert expected in output


@pytest.mark.slow
def test_every_stage_has_a_cost_and_the_trainings_tokens(copy, monkeypatch):
    monkeypatch.setenv("SENSE_WORK", str(copy.root / ".sense" / "work"))
    cost = costs.read(copy.root / "metrics", copy.root / "report/index.html")
    assert [stage.section for stage in cost.stages] == list(SECTIONS)
    for stage in cost.stages:
        assert stage.cost is not None, stage.section
        assert (stage.cost.tries, stage.cost.complete, stage.cost.gpu_s) == (1, True, 0.0)
        assert min(stage.cost.wall_s, stage.cost.cpu_s, stage.cost.peak_bytes) > 0
        kinds = {"sft": {"trained"}, "weak": {"trained"}, "dpo": {"trained"}, "sample": {"generated"}, "evaluate": {"generated"}}
        assert set(stage.cost.tokens) == kinds.get(stage.section, set())
    assert cost.hours > 0
    page = (copy.root / "report" / "cost.html").read_text()
    assert "EX for an hour" in page
    assert "not recorded" not in page


@pytest.mark.slow
def test_the_key_is_written_nowhere(copy):
    assert SECRET not in copy.printed
    for path in copy.root.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


# From here on: single commands in this process.


@pytest.fixture(scope="module")
def seed(tmp_path_factory):
    """What ingest makes of the built-in seeds."""
    root = tmp_path_factory.mktemp("seed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENSE_WORK", str(root / "work"))
        assert _sense("ingest", root, TINY) == 0
    return root / "data/seed"


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "work"))
    return tmp_path


def _sense(section, root, params, **ports):
    """Runs a section's command below `root`, with `ports` elsewhere; returns its exit code."""
    return cli.main([section, *_flags(section, root, ports), "--params", str(params), "--json"])


def _flags(section, root, ports=()):
    places = inputs(section, root) | outputs(section, root) | dict(ports)
    return [word for name, path in places.items() for word in (f"--{name}", str(path))]


def _llm_params(folder, base_url, **more):
    """The tiny profile with an LLM teacher, as a file."""
    params = yaml.safe_load(TINY.read_text())
    llm = {"model": "fake", "base_url": base_url, "concurrency": 2, "retries": 0, "questions": 1}
    params["synthesize"] |= {"teacher": "llm", "llm": llm, "count": 16, "suite": 0, "split": {"heldout_domains": 1}, **more}
    (folder / "llm.yaml").write_text(yaml.safe_dump(params))
    return folder / "llm.yaml"


class Quota:
    """A good teacher that refuses after `left` answers (never, if negative); `given` are the requests it has answered."""

    def __init__(self, left):
        self.left, self.answered = left, []
        self._teacher, self._lock = good_teacher(nonsense=0.3), Lock()

    def __call__(self, request):
        with self._lock:
            if self.left == 0:
                return 403, {}, {"error": {"message": f"the quota of {SECRET} is used up"}}
            self.left -= 1
            self.answered.append(json.dumps(request, sort_keys=True))
        return self._teacher(request)


def test_an_llm_teacher_that_refuses_is_resumed_without_asking_again(root, seed, monkeypatch, capsys):
    monkeypatch.setenv("SENSE_API_KEY", SECRET)
    monkeypatch.setenv("SENSE_ANSWERS", str(root / "answers"))
    quota = Quota(left=7)
    with Endpoint(quota) as endpoint:
        params = _llm_params(root, endpoint.base_url)
        assert _sense("synthesize", root, params, seed=seed, dev=seed) == 2
        captured = capsys.readouterr()
        assert f"{endpoint.base_url}/chat/completions" in captured.err
        assert "403" in captured.err
        assert "set SENSE_API_KEY" in captured.err
        assert captured.err.count("\n") == 1
        assert SECRET not in captured.err + captured.out
        assert not (root / "data").exists()
        assert len(quota.answered) == 7
        quota.left = -1
        assert _sense("synthesize", root, params, seed=seed, dev=seed) == 0
        metrics = json.loads(capsys.readouterr().out)
        prompts = list(quota.answered)
        monkeypatch.setenv("SENSE_WORK", str(root / "other-work"))
        monkeypatch.setenv("SENSE_ANSWERS", str(root / "other-answers"))
        assert _sense("synthesize", root / "other", params, seed=seed, dev=seed) == 0  # undisturbed
    assert len(set(prompts)) == len(prompts) == metrics["funnel"]["asked"] + metrics["funnel"]["repairs"]["asked"]
    assert sorted(prompts) == sorted(quota.answered[len(prompts) :])
    assert metrics["funnel"]["kept"] == 16
    assert sum(metrics["funnel"]["dropped"].values()) == metrics["funnel"]["asked"] - 16 > 0
    for name, path in outputs("synthesize", root).items():
        assert records.digest(path) == records.digest(outputs("synthesize", root / "other")[name]), name
    for path in root.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


@pytest.fixture
def refused(root, capsys):
    """Runs a section that must be refused: exit code 2, one message that says `wanted`, its old outputs as they were."""

    def run(section, params=TINY, expected=(), **ports):
        old = {name: path for name, path in outputs(section, root).items() if name not in ports}
        for path in old.values():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("old")
        capsys.readouterr()
        assert _sense(section, root, params, **ports) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"sense {section}: ")
        assert "Traceback" not in captured.err
        for part in expected:
            assert part in captured.err
        assert {path.read_text() for path in old.values()} == {"old"}

    return run


@pytest.fixture
def pets(tmp_path):
    """A dataset folder of two questions on one database."""
    folder = tmp_path / "pets"
    database = records.database_path(folder, "pets")
    database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript("CREATE TABLE pet (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO pet (name) VALUES ('Rex');")
    rows = [
        Example(id=f"p{number}", db_id="pets", question=sql, sql=sql, source="test", hardness="easy")
        for number, sql in enumerate(("SELECT name FROM pet", "SELECT count(*) FROM pet"))
    ]
    records.write_jsonl(folder / "examples.jsonl", rows)
    return folder


def test_a_missing_params_file_is_named(refused, pets):
    refused("prefer", Path("nowhere.yaml"), ["nowhere.yaml: cannot be read", "configs/"], unseen=pets, samples=pets)


def test_all_that_is_wrong_in_params_is_listed(refused, tmp_path):
    params = yaml.safe_load(TINY.read_text())
    params["sample"] |= {"k": 0}
    params["dpo"] |= {"betta": 0.2}
    del params["sft"]["model"]
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(params))
    refused("ingest", tmp_path / "p.yaml", [f"{tmp_path}/p.yaml: 3 errors", "sample.k = 0", "dpo.betta", "sft.model: missing"])


def test_an_unknown_section_is_answered_with_those_there_are(capsys, root):
    assert cli.main(["ingest", "--section", "ingets", *_flags("ingest", root), "--params", str(TINY)]) == 2
    captured = capsys.readouterr().err
    assert captured.startswith("sense ingest: --section ingets: no such section")
    assert "ingest, synthesize, sft, weak" in captured


def test_the_section_of_another_stage_is_refused(capsys, root):
    assert cli.main(["ingest", "--section", "sample", *_flags("ingest", root), "--params", str(TINY)]) == 2
    assert "the section of ingest" in capsys.readouterr().err


def test_every_missing_input_is_named_with_what_makes_it(refused, root):
    refused("prefer", expected=[f"{root}/data/weak/samples.jsonl: no such", f"{root}/data/unseen: no such", "dvc repro"])


def test_a_malformed_line_is_named_by_file_and_number(refused, pets, tmp_path):
    samples = tmp_path / "samples.jsonl"
    good = {"id": "p0#0", "example_id": "p0", "sql": "SELECT 1", "correct": False, "verdict": "mismatch"}
    samples.write_text(json.dumps(good) + '\n{"id": "p0#1", "example_id"\n')
    refused("prefer", expected=[f"{samples}, line 2: not a Sample", "mend or delete"], samples=samples, unseen=pets)
    samples.write_text(json.dumps(good | {"verdict": "perhaps"}))
    refused("prefer", expected=[f"{samples}, line 1", "verdict", "'gold_error'"], samples=samples, unseen=pets)
    with (pets / "examples.jsonl").open("a") as stream:
        stream.write('{"id": "p2"}\n')
    refused("prefer", expected=[f"{pets}/examples.jsonl, line 3", "db_id: Field required"], samples=samples, unseen=pets)


def test_a_database_that_is_none_is_named(refused, pets, root):
    database = records.database_path(pets, "pets")
    model = root / "model"
    model.mkdir()
    ports = vars(evaluate_inputs(root / "inputs", model, model, pets, pets))
    database.write_bytes(b"this is no database, however long it is read" * 100)
    refused("evaluate", expected=[f"{database}: not a readable SQLite database"], **ports)
    params = _llm_params(root, "http://127.0.0.1:9/v1")
    refused("synthesize", params, [f"{database}: not a readable SQLite database"], seed=pets, dev=pets)
    database.unlink()
    refused("evaluate", expected=[f"{database}: no such database"], **ports)


def test_evaluate_refuses_data_that_were_not_compared(refused, pets, root):
    model = root / "model"
    model.mkdir()
    ports = vars(evaluate_inputs(root / "inputs", model, model, pets, pets))
    examples = ports["seed"] / "examples.jsonl"
    examples.write_text((pets / "examples.jsonl").read_text())
    (ports["seed"] / "databases").symlink_to(pets / "databases")
    refused(
        "evaluate",
        expected=["does not know", "seed as it is now", "dvc repro synthesize, or sense decontaminate --data"],
        **ports,
    )


@pytest.mark.slow
def test_every_documented_command_runs(copy):
    ci = (ROOT / ".ci/run").read_text().splitlines()
    documented = documentation.commands("bash")
    assert {"make demo", "make test"} <= set(documented)
    for command, page in documented.items():
        if command.startswith("make "):
            assert command in ci, (page, command)  # CI runs it, on a fresh machine
        else:
            process = copy.command("bash", "-c", command)
            assert process.returncode == 0, (page, command, process.stderr[-2000:])
    assert copy.command("dvc", "status").stdout.strip().endswith("up to date.")
