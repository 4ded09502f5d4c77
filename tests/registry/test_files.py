"""A version's files: downloaded whole, or not at all."""

import pytest
from botocore.exceptions import NoCredentialsError
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from sense.errors import InputError
from sense.registry import files
from tests.killed import file_changes, run_until_killed
from tests.registered_models import run_refused, safetensors_file


def test_a_download_is_whole_kept_and_mended(two_versions, tmp_path):
    target = tmp_path / "cache" / "sense-1"
    assert files.download("sense", "1", target) == target
    assert (target / "model.safetensors").read_bytes() == safetensors_file(b"a")
    assert (target / "sense.json").is_file()
    stamp = (target / "model.safetensors").stat().st_mtime_ns
    files.download("sense", "1", target)
    assert (target / "model.safetensors").stat().st_mtime_ns == stamp
    (target / "model.safetensors").write_bytes(b"ab")  # of another size than the store lists
    files.download("sense", "1", target)
    assert (target / "model.safetensors").read_bytes() == safetensors_file(b"a")
    files.download("sense", "2", target)  # of the same sizes, and yet another
    assert (target / "model.safetensors").read_bytes() == safetensors_file(b"b")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(InputError, match="something else"):
        files.download("sense", "1", tmp_path / "mine")
    assert (tmp_path / "mine" / "diary.txt").exists()


def test_a_killed_download_leaves_nothing_that_looks_whole(two_versions, tmp_path):
    target = tmp_path / "cache" / "sense-1"
    dies_at, whole = 1, False
    while not whole:
        whole = run_until_killed(lambda: files.download("sense", "1", target), dies_at, file_changes(target.parent))
        if target.exists():
            assert (target / "model.safetensors").read_bytes() == safetensors_file(b"a")
            assert (target / "registered.json").is_file()
        dies_at += 1
    assert dies_at > 6
    assert sorted(path.name for path in target.parent.iterdir()) == [".sense-1.lock", "sense-1"]


def test_an_artifact_store_that_fails_is_told_with_what_to_check(two_versions, monkeypatch, capsys):
    def fail(*_):
        raise NoCredentialsError

    monkeypatch.setattr(LocalArtifactRepository, "list_artifacts", fail)
    message = run_refused(capsys, "show", "2")
    assert "NoCredentialsError: Unable to locate credentials; check that their store runs and the credentials" in message
