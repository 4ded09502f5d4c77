"""Versions found by what the command line writes, resolved for serving, and registered by others or long ago."""

import shutil
from pathlib import Path

import pytest

from sense import records
from sense.errors import InputError
from sense.registry import versions
from tests.registered_models import (
    publish_inputs,
    publish_two,
    publish_version,
    run_json,
    run_refused,
)


def test_a_name_may_hold_what_mlflow_allows():
    assert versions.parse_reference("my.model@champion", "sense") == ("my.model", "champion")
    assert versions.parse_reference("models:/a-b/12", "sense") == ("a-b", "12")


def test_resolving_says_what_serving_must_know(two_versions, tmp_path):
    digest = records.digest(publish_inputs(tmp_path / "a", weights=b"a").sense)
    expected = versions.ResolvedVersion("sense", "1", digest, {"schema_style": "compact", "sample_values": 0, "target": "sql"})
    assert versions.resolve("models:/sense@champion") == expected
    assert versions.resolve("models:/sense/2").version == "2"
    for wrong in ("models:/sense@none", "models:/sense/7", "models:/none@champion", "sense", "models:/sense/latest"):
        with pytest.raises(InputError):
            versions.resolve(wrong)


@pytest.fixture
def early(client, tmp_path):
    """Version 1 as it was registered before verdicts, intervals, decisions and the gate's set went with a version."""
    publish_two(tmp_path)
    artifacts = Path(client.get_logged_model(client.get_model_version("sense", "1").source.rpartition("/")[2]).artifact_location)
    shutil.rmtree(artifacts / "evaluation")
    for key in client.get_model_version("sense", "1").tags:
        if key.startswith(("sense.promotion.", "sense.gate")) or key.endswith(("ex_low", "ex_high")):
            client.delete_model_version_tag("sense", "1", key)
    return client


def test_an_early_version_is_listed_compared_promoted_over_and_not_measured(early, capsys):
    row = run_json(capsys, "list")["versions"][1]
    assert (row["ex_low"], row["ex_high"], row["reason"]) == (0.1, 0.9, "")  # from the logged model
    dev = run_json(capsys, "compare", "1", "2")["sets"]["dev"]
    assert dev["comparable"]
    assert (dev["test"], dev["untested"]) == (
        None,
        "version 1: no per-question verdicts registered; publish again (dvc repro publish)",
    )
    assert "--set dev or --set heldout" in run_refused(capsys, "measure", "1")
    assert "no prompts of dev registered; publish again (dvc repro publish)" in run_refused(
        capsys, "measure", "1", "--set", "dev"
    )
    assert run_json(capsys, "promote", "2")["before"] == "1"
    assert run_json(capsys, "rollback")["version"] == "1"


def test_publishing_an_early_version_again_makes_one_with_verdicts(early, tmp_path, capsys):
    records.remove(tmp_path / "work-a")
    version = early.get_model_version("sense", "1")
    early.set_model_version_tag("sense", "1", "sense.key", "a key of earlier days")
    early.set_logged_model_tags(version.source.rpartition("/")[2], {"sense.key": "a key of earlier days"})
    assert publish_version(tmp_path, "a", promote=True, right="y" * 10 + "n" * 10) == "3"
    assert run_json(capsys, "compare", "3", "2")["sets"]["dev"]["test"]["wins"] == 3


def test_what_plain_mlflow_registered_stands_in_nobodys_way(two_versions, capsys):
    for source in ("s3://a-bucket/model", "runs:/gone/model"):
        two_versions.create_model_version("sense", source)
    assert not run_json(capsys, "compare", "1", "3")["sets"]["dev"]["comparable"]  # its files are not looked at
    for arguments in (("show", "4"), ("values", "4"), ("promote", "4", "--force", "--reason", "why")):
        assert "sense version 4: the run that held its files is gone from MLflow" in run_refused(capsys, *arguments)
    two_versions.set_registered_model_alias("sense", "champion", "3")
    assert "the champion, version 3, carries no EX on dev" in run_refused(capsys, "promote", "2")
    assert run_json(capsys, "promote", "2", "--force", "--reason", "why")["before"] == "3"
