"""`sense data gc`: a DVC project with a real S3 API and with folders, registered versions and runs in MLflow."""

import json
import os
import shutil
import warnings
from pathlib import Path

import pytest
from dvc.repo import Repo

from sense import cli, data_versions, records
from sense.data_versions import remote
from tests.killed import file_changes, run_until_killed
from tests.mlflow_store import fresh, migrated
from tests.object_store import BUCKET, ObjectStore

DATA = ("dev", "heldout", "strong", "samples", "pairs")
NAMES = {"1": "first", "2": "second"}  # of the data behind each registered version


def write_data(folder, name):
    """Data called `name` below a folder; some of the databases are the same in all of them."""
    for kind in ("dev", "heldout", "strong"):
        files = {"examples.jsonl": f"{kind} of {name}", **{f"databases/db{n}/db{n}.sqlite": f"{n and name}" for n in range(3)}}
        for path, text in files.items():
            (folder / kind / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / kind / path).write_text(text)
    for kind in ("samples", "pairs"):
        (folder / kind).write_text(f"{kind} of {name}")


def keep(path, *stores):
    """Keeps a file or folder in caches or remotes as DVC does; returns the md5 that it is called by."""
    md5 = records.revision(path)
    contents = {md5: path.read_bytes()} if path.is_file() else {}
    if path.is_dir():
        files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
        listing = [{"md5": records.revision(files[name]), "relpath": name} for name in sorted(files)]
        contents = {records.revision(file): file.read_bytes() for file in files.values()} | {md5: json.dumps(listing).encode()}
    for store in stores:
        for name, content in contents.items():
            target = store / remote.object_path(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return md5


def point_at(project, url):
    config = f"[core]\n    no_scm = true\n    remote = store\n['remote \"store\"']\n    url = {url}\n"
    (project / ".dvc" / "config").write_text(config)


@pytest.fixture(scope="module")
def store():
    with ObjectStore() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A DVC project without Git: its data were registered twice, once not at all, and are now at their fourth state.

    Its remote is the folder `remote` in it. Returns a client of its MLflow store.
    """
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    client = fresh(root, monkeypatch)
    monkeypatch.chdir(root)
    for name in ("GLOBAL_CONFIG", "SYSTEM_CONFIG", "SITE_CACHE"):
        monkeypatch.setenv(f"DVC_{name}_DIR", str(tmp_path / "state"))
    point_at(root, "../remote")
    client.create_experiment("sense")
    client.create_registered_model("sense")
    for name in (*NAMES.values(), "dropped", "now"):
        write_data(root / "states" / name, name)
        paths = {kind: root / "states" / name / kind for kind in DATA}
        md5s = {kind: keep(path, root / ".dvc" / "cache", root / "remote") for kind, path in paths.items()}
        if name in NAMES.values():
            tags = {f"sense.data.{kind}": md5 for kind, md5 in md5s.items()}
            tags |= {f"sense.digest.{kind}": records.digest(path) for kind, path in paths.items()}
            client.create_model_version("sense", str(root), tags=tags)
    for kind, md5 in md5s.items():
        (root / f"{kind}.dvc").write_text(f"outs:\n- md5: '{md5}'\n  hash: md5\n  path: {kind}\n")
    client.set_registered_model_alias("sense", "champion", "2")
    return client


def collect(capsys, *options, code=0):
    """What `sense data gc` prints, on stdout or, if it refuses, on stderr."""
    capsys.readouterr()
    assert cli.main(["data", "gc", *options]) == code
    printed = capsys.readouterr()
    return printed.err if code else printed.out


def revisions(client, version):
    tags = client.get_model_version("sense", version).tags
    return {name.removeprefix("sense.data."): value for name, value in tags.items() if name.startswith("sense.data.")}


def objects(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def named():
    """The paths in a remote of all objects that a registered version or the workspace names."""
    paths = [Path("states", name, kind) for name in (*NAMES.values(), "now") for kind in DATA]
    files = {file for path in paths for file in [path, *path.rglob("*")] if file.is_file()}
    return {remote.object_path(records.revision(path)) for path in (*paths, *files)}


def test_on_s3_only_what_nothing_names_goes_and_every_version_pulls(project, store, tmp_path, capsys):
    url = f"s3://{BUCKET}/teams/sense"
    point_at(Path(), url)
    for name, content in objects(Path("remote")).items():
        store.client.put_object(Bucket=BUCKET, Key=f"teams/sense/{name}", Body=content)
    before, cached = store.objects(), objects(Path(".dvc/cache"))
    printed = collect(capsys, "--older-than", "0")
    assert "sense version 1" in printed
    assert "sense version 2 (champion)" in printed
    assert "the workspace" in printed
    gone = {key: data for key, data in before.items() if key.removeprefix("teams/sense/") not in named()}
    assert gone
    lines = f"{len(gone)} of {len(before)} objects go, {sum(map(len, gone.values())):,} bytes"
    assert f"the cache: {lines}" in printed
    assert f"the remote {url}/files/md5: {lines}" in printed
    assert "with --yes" in printed
    assert (store.objects(), objects(Path(".dvc/cache"))) == (before, cached)
    assert "--yes" not in collect(capsys, "--older-than", "0", "--yes")
    assert store.objects() == {key: data for key, data in before.items() if key not in gone}
    assert {file for file in objects(Path(".dvc/cache")) if file.startswith("files/")} == named()
    for version, kind in (("1", "strong"), ("2", "samples")):
        data_versions.pull(url, revisions(project, version)[kind], tmp_path / kind)
        assert records.digest(tmp_path / kind) == records.digest(Path("states", NAMES[version], kind))
    assert "0 of" in collect(capsys, "--older-than", "0", "--yes")


def test_what_is_young_stays_with_all_that_it_names(project, capsys):
    before = objects(Path("remote")) | objects(Path(".dvc/cache/files"))
    printed = collect(capsys, "--yes")
    assert "more objects stay: they are younger than 14 days" in printed
    assert objects(Path("remote")) | objects(Path(".dvc/cache/files")) == before
    old = 1_000_000_000
    for file in [*Path("remote").rglob("*"), *Path(".dvc/cache/files").rglob("*")]:
        if file.is_file() and not file.name.endswith(".dir"):
            os.utime(file, (old, old))  # written long ago, and used again by a folder that was pushed today
    collect(capsys, "--yes")
    left = objects(Path("remote"))
    dropped = Path("states/dropped/strong")
    assert remote.object_path(records.revision(dropped / "databases/db1/db1.sqlite")) in left
    assert remote.object_path(records.revision(Path("states/dropped/samples"))) not in left


def test_killed_at_any_moment_it_loses_nothing_that_is_named(project, tmp_path, capsys):
    remote_folder, cache = Path("remote"), Path(".dvc/cache/files")
    whole = tmp_path / "whole"
    for folder in (remote_folder, cache):
        shutil.copytree(folder, whole / folder.name)
    collect(capsys, "--older-than", "0", "--yes")
    expected = objects(remote_folder)
    assert expected.keys() == named()
    for folder in (remote_folder, cache):
        shutil.rmtree(folder)
        shutil.copytree(whole / folder.name, folder)
    work = lambda: cli.main(["data", "gc", "--older-than", "0", "--yes"])  # noqa: E731
    stopped = 0
    for dies_at in (1, 2, 5, 9, 14):
        counted = file_changes(Path("files/md5"))
        stopped += not run_until_killed(work, dies_at, counted)
        left = objects(remote_folder)
        assert expected.items() <= left.items()
        listings = [name for name in left if name.endswith(".dir")]
        for name in listings:  # no listing whose files are gone
            entries = records.read_json(remote_folder / name)
            assert {remote.object_path(entry["md5"]) for entry in entries} <= left.keys()
    assert stopped >= 3
    assert run_until_killed(work, None, file_changes(Path("files/md5")))
    assert objects(remote_folder) == expected


def test_a_version_of_before_md5s_were_recorded_keeps_its_data_by_their_content(project, capsys):
    tags = revisions(project, "1")
    for name in tags:
        project.delete_model_version_tag("sense", "1", f"sense.data.{name}")
    collect(capsys, "--older-than", "0", "--yes")
    assert objects(Path("remote")).keys() == named()
    samples = Path("remote") / remote.object_path(tags["samples"])
    samples.unlink()
    (Path(".dvc/cache") / remote.object_path(tags["samples"])).unlink()
    assert "sense version 1: not here, or not whole: samples" in collect(capsys, "--older-than", "0")


def run_of(client, version, status, **more):
    """A run `data` in MLflow that names other data beside those of a version; returns the path of these in the remote."""
    names = {"strong": "strong", "samples": "weak.samples", "pairs": "pairs.pairs"}
    tags = {f"sense.data.{names.get(kind, kind)}": md5 for kind, md5 in revisions(client, version).items()} | more
    experiment = client.get_experiment_by_name("sense").experiment_id
    run = client.create_run(experiment, run_name="data", tags=tags | {"sense.data_remote": "anywhere"})
    client.set_terminated(run.info.run_id, status)
    return run.info.run_id


def test_a_run_names_data_while_it_is_open_or_a_version_was_trained_on_them(project, capsys):
    strong = records.revision(Path("states/dropped/strong"))
    object_file = Path("remote") / remote.object_path(strong)
    pairs = records.revision(Path("states/dropped/pairs"))
    run = run_of(project, "1", "RUNNING", **{"sense.data.unseen": strong, "sense.data.pairs.pairs": pairs})
    assert f"run data {run[:8]}" in collect(capsys, "--older-than", "0", "--yes")
    assert object_file.exists()
    project.set_terminated(run)
    assert f"run data {run[:8]}" in collect(capsys)  # it ended today: its pipeline may not have registered its model yet
    used = run_of(project, "2", "FINISHED", **{"sense.data.unseen": strong})
    printed = collect(capsys, "--older-than", "0", "--yes")
    assert f"run data {used[:8]}" in printed
    assert f"run data {run[:8]}" not in printed
    assert object_file.exists()
    project.delete_run(used)
    collect(capsys, "--older-than", "0", "--yes")
    assert not object_file.exists()


def test_another_remote_by_its_url_is_cleared_and_this_project_s_is_not(project, tmp_path, capsys):
    shutil.copytree("remote", tmp_path / "other")
    before = objects(Path("remote"))
    collect(capsys, "--older-than", "0", "--yes", "--remote", str(tmp_path / "other"))
    assert objects(Path("remote")) == before
    assert objects(tmp_path / "other").keys() == named()


def test_it_refuses_where_it_cannot_know_what_is_named(project, tmp_path, monkeypatch, capsys):
    before = objects(Path("remote"))
    strong = Path("remote") / remote.object_path(revisions(project, "1")["strong"])
    cached = Path(".dvc/cache") / remote.object_path(revisions(project, "1")["strong"])
    for file in (strong, cached):
        file.chmod(0o644)
        file.write_text("[]")
    message = collect(capsys, "--yes", "--older-than", "0", code=2)
    assert f"{revisions(project, '1')['strong']}, which sense version 1" in message
    assert "damaged in the cache and the remote" in message
    strong.write_bytes(before[strong.relative_to("remote").as_posix()])
    assert "no such folder" in collect(capsys, "--yes", "--remote", str(tmp_path / "nowhere"), code=2)
    assert "--all-commits: this DVC project is in no Git" in collect(capsys, "--yes", "--all-commits", code=2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "mlflow.db").write_bytes(migrated())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/empty/mlflow.db")
    assert "no registered version and no open run names data" in collect(capsys, "--yes", code=2)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/missing.db")
    assert "no such MLflow store" in collect(capsys, "--yes", code=2)
    fresh(Path.cwd(), monkeypatch, Path("mlflow.db").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert "in no DVC project" in collect(capsys, "--yes", code=2)
    assert objects(tmp_path / "project" / "remote") == before


def test_the_md5_of_a_folder_is_the_one_that_dvc_gives_it(project):
    write_data(Path("added"), "added")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a library that DVC uses
        with Repo() as repo:
            (stage,) = repo.add(["added/strong"])
    assert stage.outs[0].hash_info.value == records.revision(Path("added/strong"))
    keep(Path("added/strong"), Path("kept"))
    assert objects(Path("kept")).items() <= objects(Path(".dvc/cache")).items()
