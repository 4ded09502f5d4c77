"""`sense pipeline submit` against the API server's stand-in: what it creates, what it prints, how it fails."""

import socket
from pathlib import Path

import pytest
import yaml

from sense import cli
from sense.errors import EndpointError, UserError
from sense.kubeflow import submit
from tests.kubeflow.api import UPLOAD, Server

TINY = Path(__file__).parents[2] / "configs" / "tiny.yaml"
SPEC = {
    "pipelineInfo": {"name": "one"},
    "root": {"dag": {"tasks": {}}},
    "deploymentSpec": {"executors": {}},
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.17.0",
}
RUN = submit.SubmittedRun("7c0e", "http://kubeflow.test/#/runs/details/7c0e")


@pytest.fixture(autouse=True)
def _no_token(monkeypatch):
    monkeypatch.delenv("KFP_TOKEN", raising=False)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(SPEC))
    return path


def command(server, *flags, params=TINY):
    return cli.main(["pipeline", "submit", "--params", str(params), "--host", server.url, *flags])


def link(server, number=0):
    return f"{server.url}/#/runs/details/{server.runs[number]['run_id']}"


def closed_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_the_same_parameters_are_one_version_and_every_submit_a_run(tmp_path, capfd):
    other = tmp_path / "params.yaml"
    other.write_text(TINY.read_text().replace("max_steps: 12", "max_steps: 13"))
    with Server() as server:
        assert command(server) == 0
        assert capfd.readouterr() == (link(server) + "\n", "")
        assert command(server, "--experiment", "nightly") == 0
        assert [row["pipeline_spec"]["pipelineInfo"]["name"] for row in server.versions] == ["sense"]
        assert command(server, params=other) == 0
    env = server.versions[0]["pipeline_spec"]["deploymentSpec"]["executors"]["exec-sft"]["container"]["env"]
    variables = {one["name"]: one["value"] for one in env}
    assert variables["SENSE_PIPELINE_VERSION"] == server.versions[0]["name"]
    assert variables["SENSE_PIPELINE_HOST"] == server.url
    assert [row["display_name"] for row in server.pipelines] == ["sense"]
    assert [row["display_name"] for row in server.experiments] == ["sense", "nightly"]
    one, two = (row["pipeline_version_id"] for row in server.versions)
    assert [run["pipeline_version_reference"]["pipeline_version_id"] for run in server.runs] == [one, one, two]
    inside = [row["experiment_id"] for row in server.experiments]
    assert [run["experiment_id"] for run in server.runs] == [inside[0], inside[1], inside[0]]
    names = {row["pipeline_version_id"]: row["name"] for row in server.versions}
    for run, version in zip(server.runs, [one, one, two], strict=True):
        assert run["display_name"].startswith(f"sense {names[version]} ")


def test_waiting_ends_with_the_run(capfd):
    with Server(states=["SUCCEEDED"]) as server:
        assert command(server, "--wait") == 0
        assert capfd.readouterr() == (link(server) + "\n", f"{server.runs[0]['run_id']}: succeeded\n")
        server.states = ["FAILED"]
        assert command(server, "--wait") == 2
    run = server.runs[1]["run_id"]
    message = f"{run}: failed\nsense pipeline: the run {run} ended as failed; its tasks and logs: {link(server, 1)}\n"
    assert capfd.readouterr() == (link(server, 1) + "\n", message)


def test_each_state_is_told_once_and_a_server_that_restarts_is_waited_for(file, capfd):
    with Server(states=["PENDING", "PENDING", "RUNNING", "CANCELING", "CANCELED"]) as server:
        run = submit.submit(server.url, file, "v1", submit.RunSettings("run"))
        server.trouble = [503, 500]
        with pytest.raises(UserError, match=rf"^the run {run.id} ended as canceled; its tasks and logs: {run.link}$"):
            submit.wait(server.url, run, every_s=0)
    states = ["no answer from the server, asking again", "pending", "running", "canceling", "canceled"]
    assert capfd.readouterr() == ("", "".join(f"{run.id}: {state}\n" for state in states))
    assert server.requests.count(f"GET /runs/{run.id}") == 7


def test_waiting_for_a_server_that_is_gone_says_that_the_run_goes_on():
    host = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(EndpointError, match=rf"{host}.*refused.*check --host.*the run itself goes on: {RUN.link}$"):
        submit.wait(host, RUN, every_s=0)


def test_a_refusal_while_waiting_is_not_asked_again():
    with Server(token="good") as server, pytest.raises(EndpointError, match=f"401 .*KFP_TOKEN.*goes on: {RUN.link}$"):
        submit.wait(server.url, RUN, every_s=0)
    assert len(server.requests) == 1


def test_the_token_comes_from_the_environment(file, monkeypatch):
    monkeypatch.setenv("KFP_TOKEN", "very-secret\n")  # as a file mounted from a secret often ends
    with Server(token="very-secret") as server:
        submit.wait(server.url, submit.submit(server.url, file, "v1", submit.RunSettings("run")), every_s=0)
    assert len(server.runs) == 1


def test_the_namespace_is_that_of_the_pipeline_and_the_experiment(file):
    with Server(several_users=True) as server:
        for namespace in ("team-a", "team-b", "team-a"):
            submit.submit(server.url, file, "v1", submit.RunSettings("run", namespace=namespace))
    for rows in (server.pipelines, server.experiments):
        assert [(row["display_name"], row["namespace"]) for row in rows] == [("sense", "team-a"), ("sense", "team-b")]
    assert [row["pipeline_id"] for row in server.versions] == [row["pipeline_id"] for row in server.pipelines]
    assert len(server.runs) == 3


def test_a_server_of_several_users_without_a_namespace_is_told_before_anything_is_uploaded(file):
    with Server(several_users=True) as server, pytest.raises(EndpointError, match=r"400 Bad Request, .*namespace.*--namespace:"):
        submit.submit(server.url, file, "v1", submit.RunSettings("run"))
    assert server.requests == ["GET /experiments"]


def test_a_wrong_token_ends_at_once_and_is_not_shown(monkeypatch, capfd):
    monkeypatch.setenv("KFP_TOKEN", "very-secret")
    with Server(token="other") as server:
        assert command(server) == 2
    message = "401 Unauthorized, Unauthenticated: Bearer *** is not valid; set KFP_TOKEN to a token that this server accepts"
    out, err = capfd.readouterr()
    assert (out, err) == ("", f"sense pipeline: Kubeflow Pipelines ({server.url}): {message}; then submit again\n")
    assert len(server.requests) == 1


def test_a_server_that_is_down_is_told_in_one_line(capfd):
    host = f"http://127.0.0.1:{closed_port()}"
    assert cli.main(["pipeline", "submit", "--params", str(TINY), "--host", host]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"({host})" in err
    assert "refused; check --host and that the server runs" in err


@pytest.mark.parametrize(
    ("status", "what", "fix"),
    [
        (500, "500 Internal Server Error, Internal error: the database is locked", "kubectl logs"),
        (404, "404 Not Found", "it is the address before /apis/v2beta1"),
        (403, "403 Forbidden", "may create pipelines and runs in --namespace"),
        (302, "302, a redirect, as to a login page", "KFP_TOKEN"),
    ],
)
def test_every_refusal_names_host_and_fix(file, status, what, fix):
    with Server(trouble=[status]) as server, pytest.raises(EndpointError) as raised:
        submit.submit(server.url, file, "v1", submit.RunSettings("run"))
    message = str(raised.value)
    assert message.startswith(f"Kubeflow Pipelines ({server.url}): {what}")
    assert fix in message
    assert "goroutine" not in message
    assert len(server.requests) == 1


def test_a_submit_that_broke_off_is_taken_up_where_it_was(file):
    with Server() as server:
        broken = file.with_name("broken.yaml")
        broken.write_text("root: {dag: {tusks: {}}}")
        with pytest.raises(EndpointError, match=r"400 Bad Request, Failed to read a pipeline spec file"):
            submit.submit(server.url, broken, "v1", submit.RunSettings("run"))
        submit.submit(server.url, file, "v1", submit.RunSettings("run"))
    created = [requests for requests in server.requests if requests.startswith("POST")]
    upload = f"POST {UPLOAD.removeprefix('/apis/v2beta1')}"
    assert created == ["POST /experiments", "POST /pipelines", upload, upload, "POST /runs"]


def test_a_page_that_is_no_api_is_noticed(file):
    page = Server(trouble=[200, 200])
    with page as server, pytest.raises(EndpointError, match="not that of a Kubeflow Pipelines API; check --host"):
        submit.submit(server.url, file, "v1", submit.RunSettings("run"))


@pytest.mark.parametrize("host", ["localhost:8080", "ftp://localhost"])
def test_a_host_without_its_scheme_is_refused(file, host):
    with pytest.raises(UserError, match=f"--host {host}: write it with its scheme"):
        submit.submit(host, file, "v1", submit.RunSettings("run"))


@pytest.mark.parametrize("token", ["very\nsecret", "gehëim"])
def test_a_token_that_no_header_can_hold_is_refused_without_showing_it(file, monkeypatch, token):
    monkeypatch.setenv("KFP_TOKEN", token)
    with pytest.raises(UserError, match=r"^KFP_TOKEN: it has line breaks") as raised:
        submit.submit("http://127.0.0.1:1", file, "v1", submit.RunSettings("run"))
    assert token not in str(raised.value)


def test_what_the_flags_say_of_the_run_reaches_the_server(capfd):
    flags = ["--service-account", "trainer", "--pipeline-root", "s3://bucket/runs", "--experiment", "nightly", "--no-cache"]
    with Server() as server:
        assert command(server, *flags, "--label", "team=nlp") == 0
    (run,) = server.runs
    assert (run["service_account"], run["runtime_config"]["pipeline_root"]) == ("trainer", "s3://bucket/runs")
    assert [row["display_name"] for row in server.experiments] == ["nightly"]
    text = server.uploads[0]
    assert '"team": "nlp"' in text
    assert '"enableCache": true' not in text


def test_a_schedule_makes_a_recurring_run(capfd):
    with Server() as server:
        assert command(server, "--cron", "0 0 3 * * 1") == 0
        assert command(server, "--cron", "0 0 3 * * 1", "--wait") == 2
    (recurring_run,) = server.recurring_runs
    assert recurring_run["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * 1"}}
    assert (recurring_run["mode"], recurring_run["max_concurrency"], recurring_run["no_catchup"]) == ("ENABLE", "1", True)
    assert server.runs == []
    out, err = capfd.readouterr()
    assert out == f"{server.url}/#/recurringrun/details/{recurring_run['recurring_run_id']}\n"
    assert "--wait is for one run" in err


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (["--label", "team"], "--label team: write KEY=VALUE"),
        (["--label", "team=a b"], "--label: "),
    ],
)
def test_wrong_flags_are_refused_before_the_server_is_asked(capfd, flag, message):
    with Server() as server:
        assert command(server, *flag) == 2
    assert message in capfd.readouterr().err
    assert server.requests == []


def test_a_run_that_failed_is_retried_as_often_as_asked(file, capfd):
    with Server(states=["RUNNING", "FAILED", "RUNNING", "FAILED", "RUNNING", "SUCCEEDED"]) as server:
        run = submit.submit(server.url, file, "v1", submit.RunSettings("run"))
        submit.wait(server.url, run, every_s=0, retries=2)
        assert server.requests.count(f"POST /runs/{run.id}:retry") == 2
        server.states = ["FAILED"]
        with pytest.raises(UserError, match="ended as failed"):
            submit.wait(server.url, run, every_s=0, retries=1)
    assert capfd.readouterr().err.count(f"{run.id}: retried; 0 more tries") == 2
