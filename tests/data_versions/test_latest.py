"""The newest version of a folder under its name: pushed, resolved when a run starts, and kept by `sense data gc`."""

import pytest

from sense import cli, config, data_versions
from sense.data_versions import garbage
from sense.errors import InputError, UserError
from sense.kubeflow import task_files
from tests.object_store import BUCKET, ObjectStore
from tests.pipeline import TINY


@pytest.fixture(params=["folder", "bucket"])
def remote(request, tmp_path, monkeypatch):
    """A remote of either kind, empty."""
    if request.param == "folder":
        (tmp_path / "remote").mkdir()
        yield str(tmp_path / "remote")
        return
    with ObjectStore() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        yield f"s3://{BUCKET}/team"


@pytest.fixture
def own(tmp_path):
    folder = tmp_path / "data" / "own"
    (folder / "databases").mkdir(parents=True)
    (folder / "examples.jsonl").write_text("first\n")
    (folder / "databases" / "db.sqlite").write_text("rows")
    return folder


def params(remote):
    value = config.parse(TINY.read_text(), "tiny")
    value["data"]["seeds"] = "data/own"
    value["synthesize"]["own"] = ["data/own"]
    value["cluster"] |= {"remote": remote, "seeds": "latest", "own": ["latest"]}
    return config.validate(config.Params, value, "tiny")


def test_a_run_takes_what_was_pushed_last_and_its_cache_keys_follow(remote, own, tmp_path, capsys):
    with pytest.raises(UserError, match=r"has no newest version of own; make one: sense data push FOLDER/own --remote"):
        task_files.resolve_data(params(remote), "latest latest")
    assert cli.main(["data", "push", str(own), "--remote", remote]) == 0
    first = capsys.readouterr().out.strip()
    data = task_files.resolve_data(params(remote), "latest latest")
    assert (data.seeds, data.own) == (first, [first])
    assert first in data.key
    assert task_files.resolve_data(params(remote), "latest latest") == data
    (own / "examples.jsonl").write_text("first\nfeedback\n")
    second = data_versions.push(own, remote)
    assert second != first
    assert task_files.resolve_data(params(remote), "latest latest").own == [second]
    assert sorted(path.name for path in own.parent.iterdir()) == ["own"]
    for revision, text in ((first, "first\n"), (second, "first\nfeedback\n")):  # a run that has resolved the older one gets that
        data_versions.pull(remote, revision, tmp_path / revision)
        assert (tmp_path / revision / "examples.jsonl").read_text() == text


def test_without_latest_the_revisions_of_the_profile_hold(tmp_path):
    value = config.parse(TINY.read_text(), "tiny")
    value["cluster"] |= {"remote": str(tmp_path), "seeds": "0" * 32}
    plain = config.validate(config.Params, value, "tiny")
    assert task_files.resolve_data(plain, "the key") == ("the key", "0" * 32, [])


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="none: no such folder; sense own makes one"):
        data_versions.push(tmp_path / "none", str(tmp_path))


def test_the_newest_version_is_named_so_that_it_stays(own, tmp_path, monkeypatch):
    (tmp_path / "remote").mkdir()
    revision = data_versions.push(own, str(tmp_path / "remote"))
    (tmp_path / "project" / ".dvc").mkdir(parents=True)
    (tmp_path / "project" / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    monkeypatch.chdir(tmp_path / "project")
    for name in ("GLOBAL_CONFIG", "SYSTEM_CONFIG", "SITE_CACHE"):
        monkeypatch.setenv(f"DVC_{name}_DIR", str(tmp_path / "state"))
    with garbage.open_project(str(tmp_path / "remote")) as project:
        (reference,) = garbage.latest_references(garbage.list_stores(project))
    assert (reference.label, reference.revisions) == ("latest own", {"own": revision})
