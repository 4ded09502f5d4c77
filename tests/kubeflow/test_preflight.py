"""What is looked at before a run: real stores, folders and servers, and what each failure says."""

import os
import socket
import tempfile
from pathlib import Path

import pytest
import yaml

from sense.data_versions import remote as data_remote
from sense.errors import UserError
from sense.kubeflow import preflight
from sense.tracking import store
from tests.mlflow_store import fresh
from tests.object_store import BUCKET, SECRET, ObjectStore
from tests.pipeline import TINY

NAMES = ["parameters", "MLflow", "data remote", "GPUs", "disk", "teacher's key"]


@pytest.fixture
def params():
    return yaml.safe_load(TINY.read_text())


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A machine on which everything is as it must be."""
    fresh(tmp_path, monkeypatch)
    monkeypatch.setenv("SENSE_WORK", str(tmp_path / "new" / "work"))
    for name in ("SENSE_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "remote").mkdir()
    return tmp_path


def found(params, place, gpus=0, disk_gb=0.001, remote="remote"):
    """The findings by name; no look leaves a file in the remote or the work folder."""
    url = str(place / remote) if "://" not in remote else remote
    findings = preflight.run_checks(params, gpus, disk_gb, url)
    assert [finding.name for finding in findings] == NAMES
    for folder in (place / "remote", place / "new" / "work"):
        assert not folder.is_dir() or list(folder.iterdir()) == []
    return {finding.name: finding for finding in findings}


def refusal(findings):
    with pytest.raises(UserError) as caught:
        preflight.require_all(list(findings.values()))
    return str(caught.value)


def test_all_is_well(params, place):
    findings = found(params, place)
    assert {name: finding.ok for name, finding in findings.items()} == dict.fromkeys(NAMES, True)
    assert findings["MLflow"].detail == f"sqlite:///{place}/mlflow.db answers"
    assert findings["data remote"].detail == f"{place}/remote can be read and written"
    assert findings["GPUs"].detail == "none asked for: not looked at"
    assert f"GB free in {place}/new/work" in findings["disk"].detail
    assert f"GB free in {Path(tempfile.gettempdir()).absolute()}" in findings["disk"].detail
    preflight.require_all(list(findings.values()))


def test_everything_that_fails_is_listed_with_its_fix(params, place, monkeypatch):
    params["sample"] |= {"k": 0}
    params["dpo"] |= {"betta": 0.2}
    params["synthesize"] |= {"teacher": "llm", "llm": {"model": "m"}}
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, so that nobody else takes it, and nobody listens
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{SECRET}@{address}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9")
        findings = found(params, place, gpus=1_000, disk_gb=1e9, remote="nowhere")
    assert [name for name, finding in findings.items() if finding.ok] == []
    said = refusal(findings)
    assert said.startswith("6 of 6 checks failed; nothing has been run\n")
    for wanted in (
        "parameters: params.yaml: 2 errors",
        "sample.k = 0",
        "dpo.betta = 0.2: unknown key",
        f"MLflow: MLflow (http://{address})",
        "check MLFLOW_TRACKING_URI",
        f"data remote: the data remote {place}/nowhere: no such folder",
        "GPUs: ",
        "visible, 1000 asked for; check gpus and accelerator",
        "disk: 1e+09 GB must be free",
        f"{place}/new/work, the work folder (SENSE_WORK)",
        "teacher's key: none set for api.openai.com",
        "set SENSE_API_KEY",
    ):
        assert wanted in said
    assert SECRET not in said
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "9"


def test_only_what_fails_is_listed(params, place):
    said = refusal(found(params, place, disk_gb=1e9))
    assert said.startswith("1 of 6 checks failed; nothing has been run\ndisk: ")


@pytest.mark.parametrize("number", range(3))
def test_a_remote_that_cannot_be_written_is_told(params, place, number):
    if number == 0:
        folder = Path("/sys/kernel")  # where not even root can make a file
        if not folder.is_dir():
            pytest.skip("needs Linux's /sys")
    elif number == 1:
        folder = place / "read-only"
        folder.mkdir(mode=0o500)
        if os.access(folder, os.W_OK):
            pytest.skip("root may write anywhere")
    else:
        folder = place / "file"
        folder.write_text("")
    finding = found(params, place, remote=str(folder))["data remote"]
    assert not finding.ok
    assert f"the data remote {folder}: " in finding.detail
    assert ("cannot be written" in finding.detail) == (number < 2)


def test_a_bucket_is_written_and_left_as_it_was(params, place, monkeypatch):
    with ObjectStore() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        finding = found(params, place, remote=f"s3://{BUCKET}/team")["data remote"]
        assert finding == ("data remote", True, f"s3://{BUCKET}/team can be read and written")
        assert store.objects() == {}
        finding = found(params, place, remote="s3://another-bucket/team")["data remote"]
        assert not finding.ok
        assert "NoSuchBucket" in finding.detail


def test_no_remote_is_no_failure(params, place):
    findings = {finding.name: finding for finding in preflight.run_checks(params, 0, 0.001, "")}
    assert findings["data remote"].ok
    assert "none given" in findings["data remote"].detail


def test_a_work_folder_that_cannot_be_made_is_told(params, place, monkeypatch):
    (place / "file").write_text("")
    monkeypatch.setenv("SENSE_WORK", str(place / "file" / "work"))
    finding = found(params, place)["disk"]
    assert not finding.ok
    assert f"{place}/file/work, the work folder (SENSE_WORK): cannot be written" in finding.detail


@pytest.mark.parametrize(
    ("url", "key", "ok", "wanted"),
    [
        ("https://api.example.com/v1", "", False, "none set for api.example.com"),
        ("https://api.example.com/v1", SECRET, True, "set, for api.example.com"),
        ("http://localhost:8000/v1", "", True, "not set, and localhost is near"),
        ("http://10.1.2.3/v1", "", True, "near"),
        ("http://teacher.models.svc:8000/v1", "", True, "near"),
        ("http://[::1", "", False, "no address"),
    ],
)
def test_a_teacher_far_away_needs_a_key(params, place, monkeypatch, url, key, ok, wanted):
    monkeypatch.setenv("SENSE_API_KEY", key)
    params["synthesize"] |= {"teacher": "llm", "llm": {"model": "m", "base_url": url}}
    finding = found(params, place)["teacher's key"]
    assert finding.ok == ok
    assert wanted in finding.detail
    assert SECRET not in finding.detail


def test_a_teacher_without_an_llm_needs_none(params, place):
    assert found(params, place)["teacher's key"] == ("teacher's key", True, "no LLM is asked: none needed")


def test_a_server_that_never_answers_is_not_waited_for(params, place, monkeypatch):
    monkeypatch.setitem(store._SHORT_TIMEOUTS, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # both wait 5 seconds, twice
    monkeypatch.setattr(data_remote, "_S3_TIMEOUTS", data_remote._S3_TIMEOUTS | {"connect_timeout": 1, "read_timeout": 1})
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, SECRET)
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        findings = found(params, place, remote=f"s3://{BUCKET}/team")
    assert not findings["MLflow"].ok
    assert "check MLFLOW_TRACKING_URI" in findings["MLflow"].detail
    assert not findings["data remote"].ok
    assert "check AWS_ENDPOINT_URL" in findings["data remote"].detail


@pytest.mark.parametrize("broken", [{}, {"synthesize": "much"}, {"synthesize": {"teacher": "llm", "llm": 3}}])
def test_params_of_no_shape_fail_one_check_alone(place, broken):
    findings = found(broken, place)
    assert [name for name, finding in findings.items() if not finding.ok] == ["parameters"]
