"""Kubeflow Pipelines and MLflow behind a private certificate authority, on 127.0.0.1."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.sense import build
from sense import cli, config
from sense.kubeflow.pipeline_spec import compile_pipeline
from tests import certificates, mlflow_server
from tests.kubeflow.api import Server

ROOT = Path(__file__).parents[2]
TINY = ROOT / "configs" / "tiny.yaml"
VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR", "KFP_TOKEN")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return certificates.create(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def _public_authorities(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def submit(server, *flags):
    return cli.main(["pipeline", "submit", "--params", str(TINY), "--host", server.url, *flags])


def test_a_server_that_nobody_here_trusts_is_named_with_the_fix(files, capfd):
    with Server(certificates=files) as server:
        assert submit(server) == 2
    message = "its certificate is not that of an authority trusted here; give the certificate of the authority that signed it by "
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"sense pipeline: Kubeflow Pipelines ({server.url}): {message}--ca-file or SSL_CERT_FILE")
    assert server.requests == []


def test_the_authority_comes_from_a_flag_for_the_run_and_for_waiting(files, capfd):
    with Server(certificates=files) as server:
        assert submit(server, "--ca-file", str(files.authority), "--wait") == 0
    assert len(server.runs) == 1
    assert "succeeded" in capfd.readouterr().err


@pytest.mark.parametrize("variable", VARIABLES[:3])
def test_the_authority_comes_from_the_variables_of_other_clients(files, monkeypatch, variable):
    monkeypatch.setenv(variable, str(files.authority))
    with Server(certificates=files) as server:
        assert submit(server) == 0


def test_a_folder_of_authorities_will_do(files, monkeypatch, tmp_path):
    hash = subprocess.run(
        ["openssl", "x509", "-noout", "-subject_hash", "-in", files.authority], capture_output=True, text=True, check=True
    ).stdout.strip()
    (tmp_path / f"{hash}.0").symlink_to(files.authority)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with Server(certificates=files) as server:
        assert submit(server) == 0


def test_the_flag_goes_before_the_variables(files, monkeypatch, tmp_path):
    other = certificates.create(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(other.authority))
    with Server(certificates=files) as server:
        assert submit(server) == 2
        assert submit(server, "--ca-file", str(files.authority)) == 0


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file or directory"), ("no PEM", "no certificate in it")])
def test_a_file_without_certificates_is_named(tmp_path, capfd, content, reason):
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)
    assert cli.main(["pipeline", "submit", "--params", str(TINY), "--host", "https://127.0.0.1:1", "--ca-file", str(file)]) == 2
    expected = f"sense pipeline: --ca-file {file}: {reason}; give a file of certificates in the PEM format\n"
    assert capfd.readouterr().err == expected


CHECK = "from sense import tracking; print(tracking.check_store())"


def test_mlflow_behind_a_private_authority(files, tmp_path):
    with mlflow_server.running(tmp_path, files) as url:
        environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | {"MLFLOW_TRACKING_URI": url}
        results = [
            subprocess.run([sys.executable, "-c", CHECK], env=environment | more, capture_output=True, text=True, check=False)
            for more in ({}, {"SSL_CERT_FILE": str(files.authority)}, {"REQUESTS_CA_BUNDLE": str(files.authority)})
        ]
    fix = "set SSL_CERT_FILE or REQUESTS_CA_BUNDLE to the certificate of the authority that signed it"
    message = f"MLflow ({url}): its certificate is not that of an authority trusted here; {fix}, then run the same command again"
    assert [result.returncode for result in results] == [1, 0, 0], results
    assert message in results[0].stderr
    assert [result.stdout for result in results[1:]] == [f"{url}\n"] * 2


def test_every_task_mounts_the_authorities_and_names_them_to_all_clients(tmp_path):
    text = TINY.read_text().replace("cluster:\n", "cluster:\n  authorities: {config_map: company-ca, key: ca.pem}\n")
    (tmp_path / "params.yaml").write_text(text)
    params = config.load(tmp_path / "params.yaml")
    spec, platform = yaml.safe_load_all(compile_pipeline(build(params, text, "code", "data")))
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors.keys() == spec["deploymentSpec"]["executors"].keys()
    for name, executor in spec["deploymentSpec"]["executors"].items():
        (volume,) = executors[name]["configMapAsVolume"]
        assert (volume["configMapName"], volume["mountPath"]) == ("company-ca", "/etc/sense/ca")
        env = {entry["name"]: entry["value"] for entry in executor["container"]["env"]}
        file = "/etc/sense/ca/ca.pem"
        assert {"SSL_CERT_FILE": file, "REQUESTS_CA_BUNDLE": file, "AWS_CA_BUNDLE": file}.items() <= env.items()
