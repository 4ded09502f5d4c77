"""Data versions without git: real DVC, folders and a real S3 API as remotes, a real checkout to compare with."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from components.version import version
from sense import data_versions
from sense.data_versions import lock, remote, workspace
from sense.errors import EndpointError, InputError, StorageError, UserError
from tests import pipeline
from tests.mlflow_store import fresh
from tests.object_store import BUCKET, KEY_ID, SECRET, ObjectStore
from tests.pipeline import ROOT, TINY

BIN = Path(sys.executable).parent
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
TEXT = TINY.read_text()


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def tree(folder):
    """Every file below a folder with its content, or the file itself."""
    if folder.is_file():
        return {"": folder.read_bytes()}
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def some_files(folder, name):
    for path in ("examples.jsonl", "databases/one/one.sqlite", "databases/two/two.sqlite"):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("the same twice" if path.endswith("sqlite") else f"{path} of {name}\n")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """What a run has written, under names of its own; DVC does not care what is in the files."""
    root = tmp_path_factory.mktemp("run")
    paths = {name: root / f"task-{number}" / name for number, name in enumerate(lock.ARTIFACTS)}
    for name, path in paths.items():
        path.parent.mkdir()
        if name in ("decontamination", "samples", "pairs") or name.endswith("_metrics"):
            path.write_text(json.dumps({"name": name}) + "\n")
        elif name == "seeds":
            shutil.copytree(ROOT / "sense" / "seeds", path, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            some_files(path, name)
    return paths


@dataclass(frozen=True)
class Pushed:
    """A remote to which a run has been committed: its URL, the digests that were returned, and dvc.lock."""

    url: str
    digests: dict[str, str]
    lock: Path


@pytest.fixture(scope="module")
def folder(artifacts, tmp_path_factory):
    root = tmp_path_factory.mktemp("remote, of #folders")
    (root / "store").mkdir()
    digests = data_versions.commit(ROOT, str(root / "store"), TEXT, artifacts, root / "dvc.lock")
    return Pushed(str(root / "store"), digests, root / "dvc.lock")


@pytest.fixture(scope="module")
def store():
    with ObjectStore() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(scope="module")
def bucket(artifacts, store, tmp_path_factory):
    root = tmp_path_factory.mktemp("bucket")
    url = f"s3://{BUCKET}/teams/sense"
    return Pushed(url, data_versions.commit(ROOT, url, yaml.safe_load(TEXT), artifacts, root / "dvc.lock"), root / "dvc.lock")


@pytest.fixture
def copied(folder, tmp_path):
    """A copy of the folder remote that a test may damage."""
    shutil.copytree(folder.url, tmp_path / "copied")
    for file in (tmp_path / "copied").rglob("*"):
        file.chmod(0o755)
    return Pushed(str(tmp_path / "copied"), folder.digests, folder.lock)


def test_what_was_made_is_pushed_under_the_md5_that_its_content_has(artifacts, folder):
    outputs = {path for name in lock.STAGES for kind in ("outs", "metrics") for path in DVC[name][kind]}
    assert set(folder.digests) == outputs
    for name, path in lock.PATHS.items():
        artifact = artifacts[name]
        if artifact.is_file():
            assert folder.digests[path] == md5(artifact)
        else:
            files = sorted((file.relative_to(artifact).as_posix(), md5(file)) for file in artifact.rglob("*") if file.is_file())
            listed = json.dumps([{"md5": digest, "relpath": path} for path, digest in files])
            assert folder.digests[path] == hashlib.md5(listed.encode()).hexdigest() + ".dir"
    pushed = {file.name for file in (Path(folder.url) / "files/md5").rglob("*") if file.is_file()}
    assert {digest[2:] for digest in folder.digests.values()} <= pushed
    assert md5(artifacts["model"] / "examples.jsonl")[2:] not in pushed  # the sampled model is named in dvc.lock, not kept


def test_the_lock_names_the_inputs_the_code_and_the_parameters(artifacts, folder):
    stages = yaml.safe_load(folder.lock.read_text())["stages"]
    assert list(stages) == list(lock.STAGES)
    for name, stage in stages.items():
        assert stage["params"] == {"params.yaml": {name: yaml.safe_load(TEXT)[name]}}
        expected = {path.replace("${data.seeds}", "sense/seeds").replace("${sample.model}", "weak") for path in DVC[name]["deps"]}
        assert {dep["path"] for dep in stage["deps"]} == expected
    digests = {dep["path"]: dep["md5"] for stage in stages.values() for dep in stage["deps"]}
    assert digests["sense/stages/pairs.py"] == md5(ROOT / "sense/stages/pairs.py")
    assert digests["data/unseen"] == folder.digests["data/unseen"]


def test_the_lock_names_the_model_that_was_sampled(artifacts, tmp_path):
    (tmp_path / "store").mkdir()
    params = yaml.safe_load(TEXT)
    params["sample"]["model"] = "sft"
    data_versions.commit(ROOT, str(tmp_path / "store"), params, artifacts, tmp_path / "dvc.lock")
    sampled = yaml.safe_load((tmp_path / "dvc.lock").read_text())["stages"]["sample"]
    assert {dep["path"] for dep in sampled["deps"] if dep["path"].startswith("models")} == {"models/sft"}
    assert "--model models/sft " in sampled["cmd"]


def test_the_artifacts_are_left_as_they_were(artifacts, folder):
    for name, path in artifacts.items():
        for file in [path] if path.is_file() else path.rglob("*"):
            assert not file.is_symlink()
            if file.is_file():
                assert file.stat().st_nlink == 1, name
                assert file.stat().st_mode & 0o200, name
    assert [path.name for path in folder.lock.parent.iterdir() if path.name.startswith(".")] == []


def test_s3_and_a_folder_get_the_same_objects_and_the_same_lock(folder, bucket, store):
    assert bucket.digests == folder.digests
    assert bucket.lock.read_text() == folder.lock.read_text()
    assert store.objects("teams/sense/") == {f"teams/sense/{name}": data for name, data in tree(Path(folder.url)).items()}


@pytest.mark.parametrize("kind", ["folder", "bucket"])
@pytest.mark.parametrize("name", ["strong", "samples"])
def test_a_revision_is_pulled_back_as_it_was(kind, name, artifacts, tmp_path, request):
    pushed = request.getfixturevalue(kind)
    revision = pushed.digests[lock.PATHS[name]]
    target = tmp_path / "new" / "data"
    assert data_versions.pull(pushed.url, revision, target) == revision
    assert tree(target) == tree(artifacts[name])
    assert [path.name for path in target.parent.iterdir()] == ["data"]
    for file in [target] if target.is_file() else [path for path in target.rglob("*") if path.is_file()]:
        assert file.stat().st_nlink == 1  # else who writes to it would change the remote, or another file of the same content
        assert file.stat().st_mode & 0o777 == 0o644


def test_a_pull_replaces_what_was_there_and_takes_up_a_killed_one(artifacts, folder, tmp_path):
    target = tmp_path / "data"
    some_files(target, "old")
    (target / "stale").write_text("x")
    for name in ("seed", "dev"):
        left = tmp_path / ".data.pull.partial"
        (left / ".dvc/tmp").mkdir(parents=True)
        held = {str(left / "data"): {"pid": os.getpid(), "cmd": "dvc fetch"}}
        (left / ".dvc/tmp/rwlock").write_text(json.dumps({"write": held}))
        (left / "whole").mkdir()
        (left / "whole/half").write_text("x")
        data_versions.pull(f"file://localhost{folder.url}", folder.digests[f"data/{name}"], target)
        assert tree(target) == tree(artifacts[name])
        assert [path.name for path in tmp_path.iterdir()] == ["data"]


def refused(error, call, *parts):
    """The message of the error that `call` raises: it contains all the parts, and no secret."""
    with pytest.raises(error) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)
    assert SECRET not in str(caught.value)
    assert KEY_ID not in str(caught.value)
    return str(caught.value)


def test_an_unknown_revision_is_refused_before_anything_is_fetched(folder, bucket, tmp_path):
    target = tmp_path / "data"
    gone = "0" * 32
    samples, seed = folder.digests["data/weak/samples.jsonl"], folder.digests["data/seed"]
    for url in (folder.url, bucket.url):
        refused(UserError, lambda url=url: data_versions.pull(url, gone, target), gone, url, "does not have it", "dvc push")
        refused(UserError, lambda url=url: data_versions.pull(url, f"{samples}.dir", target), f"has {samples} instead")
        refused(UserError, lambda url=url: data_versions.pull(url, seed[:32], target), f"has {seed} instead")
    for text in ("", "HEAD", "../../etc/passwd", f"{gone}.DIR", gone.upper() + "x", f"{gone}\n"):
        refused(UserError, lambda text=text: data_versions.pull(folder.url, text, target), repr(text), "not an md5", "dvc.lock")
    assert list(tmp_path.iterdir()) == []


def _object(pushed, name):
    return Path(pushed.url) / remote.object_path(name)


def test_a_remote_that_lacks_or_has_damaged_a_file_is_named_with_it(artifacts, copied, tmp_path):
    revision, target = copied.digests["data/strong"], tmp_path / "data"
    some_files(target, "old")
    digest = md5(artifacts["strong"] / "examples.jsonl")
    whole = _object(copied, digest).read_bytes()
    pull = lambda: data_versions.pull(copied.url, revision, target)  # noqa: E731
    _object(copied, digest).write_bytes(whole + b"x")
    refused(InputError, pull, f"{digest} (examples.jsonl)", "damaged", "dvc push")
    _object(copied, digest).unlink()
    refused((InputError, EndpointError), pull, copied.url, digest)
    _object(copied, digest).write_bytes(whole)
    listed = _object(copied, revision).read_bytes()
    _object(copied, revision).write_bytes(listed.replace(b"examples.jsonl", b"exampels.jsonl"))
    refused(InputError, pull, revision, "damaged")
    assert (target / "examples.jsonl").read_text() == "examples.jsonl of old\n"
    _object(copied, revision).write_bytes(listed)
    pull()  # what was fetched before is no longer trusted where it was wrong
    assert tree(target) == tree(artifacts["strong"])


@pytest.mark.parametrize("path", ["../outside", "/tmp/outside", "databases/../../outside", ""])
def test_a_listing_that_leads_out_of_the_folder_is_refused(artifacts, copied, path, tmp_path):
    listed = json.dumps([{"md5": md5(artifacts["samples"]), "relpath": path}]).encode()
    name = hashlib.md5(listed).hexdigest() + ".dir"
    _object(copied, name).parent.mkdir(exist_ok=True)
    _object(copied, name).write_bytes(listed)
    refused(InputError, lambda: data_versions.pull(copied.url, name, tmp_path / "in" / "data"), name, "not a file of its own")
    assert not (tmp_path / "in" / "outside").exists()
    assert not (tmp_path / "in" / "data").exists()


def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def calls(url, artifacts, tmp_path):
    return (
        lambda: data_versions.pull(url, "0" * 32, tmp_path / "data"),
        lambda: data_versions.commit(ROOT, url, TEXT, artifacts, tmp_path / "dvc.lock"),
        lambda: data_versions.check_writable(data_versions.parse_remote(url)),
    )


def test_a_remote_that_cannot_be_used_is_named_with_the_fix(artifacts, store, tmp_path, monkeypatch):
    def check(url, *parts):
        for call in calls(url, artifacts, tmp_path):
            refused(EndpointError, call, url, *parts)

    check("s3://no-such-bucket/a", "NoSuchBucket", "create the bucket or correct its name")
    check("s3://UPPER_case!/a", "correct AWS_PROFILE or the bucket's name")
    check(str(tmp_path / "nowhere"), "no such folder", "mount it")
    check(str(artifacts["samples"]), "no such folder")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{SECRET}@127.0.0.1:{closed_port()}")
    check(f"s3://{BUCKET}/a", "127.0.0.1", "check AWS_ENDPOINT_URL and that the server runs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"no address with {SECRET}")
    check(f"s3://{BUCKET}/a", "check AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    check(f"s3://{BUCKET}/a", "no credentials", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    assert list(tmp_path.iterdir()) == []


def test_keys_that_a_store_does_not_accept_are_not_repeated(artifacts, store, tmp_path):
    store.demand_keys()
    try:
        for call in calls(f"s3://{BUCKET}/a", artifacts, tmp_path):
            refused(EndpointError, call, "InvalidAccessKeyId", "check AWS_ACCESS_KEY_ID")
    finally:
        store.demand_keys(after=1_000_000)


def test_dvc_s_own_failures_are_told_on_one_line_without_secrets(store, tmp_path, monkeypatch):
    s3_remote = data_versions.parse_remote(f"s3://{BUCKET}/a")
    workspace.create_project(tmp_path, s3_remote)
    (tmp_path / "data.dvc").write_text("outs:\n- md5: 0123\n  hash: md5\n  path: data\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{SECRET}@127.0.0.1:1x")
    message = refused(
        EndpointError, lambda: workspace.run_dvc(tmp_path, s3_remote, "fetch", "data.dvc"), f"s3://{BUCKET}/a: dvc fetch failed"
    )
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/a/b/", remote.Remote("s3://bucket/a/b", None, "bucket", "a/b/")),
        ("s3://bucket", remote.Remote("s3://bucket", None, "bucket", "")),
        ("/srv/store", remote.Remote("/srv/store", Path("/srv/store"))),
        ("file:///srv/a%20store", remote.Remote("/srv/a store", Path("/srv/a store"))),
        ("store", remote.Remote(str(Path.cwd() / "store"), Path.cwd() / "store")),
    ],
)
def test_a_remote_is_a_folder_or_a_bucket(text, expected):
    assert data_versions.parse_remote(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "not a remote that SENSE knows"),
        ("gs://bucket/a", "s3://bucket/prefix"),
        (f"https://user:{SECRET}@host/a", "https://host/a"),
        ("s3:///a", "not a remote"),
        ("file://elsewhere/a", "not a remote"),
        (f"s3://{KEY_ID}:{SECRET}@bucket/a", "s3://bucket/a: credentials do not belong"),
    ],
)
def test_what_is_no_remote_is_refused_without_showing_credentials(text, expected):
    refused(UserError, lambda: data_versions.parse_remote(text), expected)


def test_seeds_beside_the_working_copy_are_named_as_it_names_them(artifacts, tmp_path):
    (tmp_path / "store").mkdir()
    params = yaml.safe_load(TEXT) | {"data": {"seeds": "../../real/spider"}}
    data_versions.commit(ROOT, str(tmp_path / "store"), params, artifacts, tmp_path / "lock")
    stage = yaml.safe_load((tmp_path / "lock").read_text())["stages"]["ingest"]
    assert "--seeds ../../real/spider " in stage["cmd"]
    built_in = (
        tmp_path / "store" / remote.object_path(next(dep["md5"] for dep in stage["deps"] if dep["path"] == "../../real/spider"))
    )
    assert not built_in.exists()  # a dependency is named, not pushed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "store"]


def test_what_cannot_be_versioned_is_refused_before_anything_is_written(artifacts, tmp_path):
    (tmp_path / "store").mkdir()

    def commit(project=ROOT, params=TEXT, artifacts=artifacts):
        return lambda: data_versions.commit(project, str(tmp_path / "store"), params, artifacts, tmp_path / "out" / "lock")

    missing = artifacts | {"pairs": tmp_path / "nope", "model": tmp_path / "neither"}
    message = refused(InputError, commit(artifacts=missing), "nope: no such file or folder (pairs)", "(model)")
    assert message.count("no such file") == 2
    refused(UserError, commit(project=tmp_path), f"{tmp_path}/dvc.yaml: no such file", ".dvcignore", "/opt/sense")
    refused(UserError, commit(params={}), "data.seeds is missing")
    refused(UserError, commit(params={"data": {"seeds": "sense/seeds"}}), "sample.model is missing", "sample: {model: weak}")
    refused(UserError, commit(params={"data": {"seeds": "/data/spider"}}), "data.seeds = /data/spider", "../spider")
    assert tree(tmp_path / "store") == {}
    assert not (tmp_path / "out" / "lock").exists()


def test_a_target_that_cannot_be_written_is_told(artifacts, folder, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "store").mkdir()
    target = tmp_path / "file" / "data"
    refused(
        StorageError, lambda: data_versions.pull(folder.url, folder.digests["data/dev"], target), str(target.parent), "free space"
    )
    commit = lambda: data_versions.commit(ROOT, str(tmp_path / "store"), TEXT, artifacts, target)  # noqa: E731
    refused(StorageError, commit, str(target.parent), "free space")


def test_the_artifacts_are_those_of_dvc_yaml_and_of_the_component():
    read = {path for name in lock.STAGES for path in DVC[name]["deps"] if not path.startswith("sense/") and "${" not in path}
    outputs = {path for name in lock.STAGES for kind in ("outs", "metrics") for path in DVC[name][kind]}
    assert set(lock.PATHS.values()) == read | outputs
    ports = version.component_spec.inputs
    assert [name for name in ports if ports[name].type.startswith("system.")] == list(lock.ARTIFACTS)


def test_an_installed_package_has_every_file_that_dvc_yaml_depends_on():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["sense"]
    installed = {file for pattern in ["**/*.py", *patterns] for file in (ROOT / "sense").glob(pattern)}
    files = {file for file in (ROOT / "sense").rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    assert files <= installed


COMMITTING = """
import sys
from pathlib import Path
from sense import data_versions

project, url, params, target, *paths = sys.argv[1:]
artifacts = dict(zip(data_versions.ARTIFACTS, map(Path, paths), strict=True))
data_versions.commit(Path(project), url, Path(params).read_text(), artifacts, Path(target))
"""
# The same, killed just before the first event of a kind whose arguments hold a text.
KILLED = (
    """
import os, signal, sys

event, text = sys.argv[1:3]
del sys.argv[1:3]

def audit(name, arguments):
    if name == event and text in str(arguments):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(audit)
"""
    + COMMITTING
)
# after dvc.lock has appeared, before the project is removed; before the push; after it, before dvc.lock appears
MOMENTS = {
    ("os.rename", ".commit.partial.old"): True,
    ("subprocess.Popen", "push"): False,
    ("os.rename", ".dvc.lock.partial"): False,
}


def test_killed_and_run_again_a_commit_ends_the_same(artifacts, folder, tmp_path):
    url, target = str(tmp_path / "store"), tmp_path / "dvc.lock"
    (tmp_path / "store").mkdir()
    for moment, written in MOMENTS.items():
        target.unlink(missing_ok=True)
        arguments = [*moment, str(ROOT), url, str(TINY), str(target), *map(str, artifacts.values())]
        assert subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False).returncode == -signal.SIGKILL
        assert target.exists() == written
    assert data_versions.commit(ROOT, url, TEXT, artifacts, target) == folder.digests
    assert target.read_text() == folder.lock.read_text()
    assert tree(tmp_path / "store") == tree(Path(folder.url))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dvc.lock", "store"]


FETCHING = """
import sys
from pathlib import Path
from components.version import version
from sense import data_versions
from sense.data_versions import workspace

folder, remote = Path(sys.argv[1]), data_versions.parse_remote("s3://bucket/a")
workspace.create_project(folder, remote)
workspace.run_dvc(folder, remote, "fetch", "data.dvc")
"""


def test_dvc_does_not_outlive_the_process_that_waits_for_it(tmp_path, monkeypatch):
    (tmp_path / "data.dvc").write_text(f"outs:\n- md5: '{'0' * 32}'\n  hash: md5\n  path: data\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # it takes a request and never answers
        mute.settimeout(60)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{mute.getsockname()[1]}")
        with subprocess.Popen([sys.executable, "-c", FETCHING, str(tmp_path)]) as process:
            connection, _ = mute.accept()
            with connection:
                (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                process.kill()
                process.wait()
                pipeline._await(int(child))


def test_mlflow_has_one_run_for_the_same_data_however_often_it_is_told(folder, tmp_path, monkeypatch):
    client = fresh(tmp_path, monkeypatch)
    first = data_versions.record(folder.digests, folder.url, folder.lock)
    client.set_terminated(first, "FAILED")
    assert data_versions.record(folder.digests, folder.url, folder.lock) == first
    run = client.get_run(first)
    assert (run.info.run_name, run.info.status) == ("data", "FINISHED")
    data = {name: value for name, value in run.data.tags.items() if name.startswith("sense.data.")}
    assert data == {
        **{f"sense.data.{name}": folder.digests[f"data/{name}"] for name in ("seed", "dev", "strong", "unseen", "heldout")},
        "sense.data.decontamination": folder.digests["data/decontamination.json"],
        "sense.data.weak.samples": folder.digests["data/weak/samples.jsonl"],
        "sense.data.pairs.pairs": folder.digests["data/pairs/pairs.jsonl"],
        **{f"sense.data.metrics.{name}": folder.digests[f"metrics/{name}.json"] for name in lock.STAGES},
    }
    assert run.data.tags["sense.data_remote"] == folder.url
    assert [entry.path for entry in client.list_artifacts(first)] == ["dvc.lock"]
    logged = client.download_artifacts(first, "dvc.lock", str(tmp_path))
    assert Path(logged).read_text() == folder.lock.read_text()
    folder.lock.with_name("other.lock").write_text(folder.lock.read_text() + "# another\n")
    assert data_versions.record(folder.digests, folder.url, folder.lock.with_name("other.lock")) != first
