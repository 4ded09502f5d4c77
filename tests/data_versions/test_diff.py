"""`sense data diff`: a real Git repository with DVC, its revisions, md5s and workspace; folders and files without either."""

import doctest
import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from sense import cli, records
from sense.data_versions import difference
from sense.manifest import false_right, write_manifest
from sense.records import Example

BIN = Path(sys.executable).parent
ROWS = {
    "a": ("How many dogs are there?", "SELECT count(*) FROM dog", "easy"),
    "b": ("Which dogs are older than 3?", "SELECT name FROM dog WHERE age > 3", "medium"),
    "c": ("The name of the oldest dog?", "SELECT name FROM dog ORDER BY age DESC LIMIT 1", "hard"),
    "d": ("List the dogs.", "SELECT name FROM dog", "easy"),
}
LATER_ROWS = {
    "a": ROWS["a"],
    "b": ("Which dogs are older than 4?", "SELECT name FROM dog WHERE age > 4", "medium"),
    "c2": ROWS["c"],
    "e": ("What is the age of Rex?", "SELECT age FROM dog WHERE name = 'Rex'", "medium"),
    "f": ("Mean age [of cats]?", "SELECT avg(age) FROM cat", "easy"),
}


def write(folder, rows, rate, **tables):
    """A dataset folder with a manifest, the databases `tables` (by db_id), and evidence on the row `e`."""
    shutil.rmtree(folder, ignore_errors=True)
    for db_id, definition in tables.items():
        database = records.database_path(folder, db_id)
        database.parent.mkdir(parents=True)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute(f"CREATE TABLE {definition}")
    examples = [
        Example(
            id=key,
            db_id=next(iter(tables)),
            question=question,
            sql=sql,
            source="grammar",
            hardness=hardness,
            domain="pets",
            evidence="Rex is a dog" if key == "e" else "",
        )
        for key, (question, sql, hardness) in rows.items()
    ]
    records.write_jsonl(folder / "examples.jsonl", examples)
    rates = false_right({"easy": (100, rate)})
    write_manifest(folder, stage="synthesize", section={"seed": rate, "count": 9}, revision="1+2", false_right=rates)


def run(*arguments, cwd=None):
    subprocess.run(list(map(str, arguments)), cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository with the tag `v1` and a later commit, in each of which DVC has data/strong, from a pipeline."""
    root = tmp_path_factory.mktemp("repository")
    run("git", "init", "-q", root)
    for key, value in (("user.name", "n"), ("user.email", "n@example.com"), ("core.hooksPath", "/dev/null")):
        run("git", "config", key, value, cwd=root)
    run(BIN / "dvc", "init", "-q", cwd=root)
    stage = {"cmd": "true", "outs": ["data/strong"]}
    (root / "dvc.yaml").write_text(
        yaml.safe_dump({"stages": {"synthesize": stage, "later": {"cmd": "x", "outs": ["data/none"]}}})
    )
    (root / ".gitignore").write_text("/data/\n")
    for tag, rows, tables in (
        ("v1", ROWS, {"dogs": "dog (name TEXT, age INT)", "old": "t (x)"}),
        ("v2", LATER_ROWS, {"dogs": "dog (name TEXT, age REAL)", "cats": "cat (age INT)"}),
    ):
        write(root / "data" / "strong", rows, 2 if tag == "v1" else 1, **tables)
        run(BIN / "dvc", "commit", "-q", "-f", "synthesize", cwd=root)
        run("git", "add", "-A", cwd=root)
        run("git", "commit", "-q", "-m", tag, cwd=root)
        run("git", "tag", tag, cwd=root)
    return root


@pytest.fixture
def work(repository, tmp_path, monkeypatch):
    """A copy of the repository as the current folder."""
    shutil.copytree(repository, tmp_path / "work", symlinks=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return tmp_path / "work"


def diff(capsys, *arguments):
    """What `sense data diff --json` prints."""
    assert cli.main(["data", "diff", *map(str, arguments), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def refused(capsys, *arguments):
    """The message of a call that ends with exit code 2."""
    assert cli.main(["data", "diff", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def kinds(result):
    """The ids of each kind of change."""
    return {kind: [(change["old"] or change["new"])["id"] for change in changes] for kind, changes in result["rows"].items()}


def test_docstring():
    assert doctest.testmod(difference).failed == 0


def test_what_changed_between_two_revisions(work, capsys):
    result = diff(capsys, "v1", "v2")
    assert (result["old"], result["new"]) == ("v1:data/strong", "v2:data/strong")
    assert kinds(result) == {"added": ["e", "f"], "removed": ["d"], "changed": ["b"], "moved": ["c"]}
    assert result["unchanged"] == 1
    assert result["rows"]["changed"][0]["fields"] == ["question", "sql"]
    assert result["rows"]["moved"][0]["new"]["id"] == "c2"
    assert result["databases"] == {"added": ["cats"], "removed": ["old"], "changed": ["dogs"]}
    assert result["figures"] == {
        "rows": {"old": 4, "new": 5},
        "databases": {"old": 2, "new": 2},
        "structures": {"old": 4, "new": 5},
        "with evidence": {"old": 0.0, "new": 0.2},
    }
    assert result["counts"]["hardness"] == {
        "easy": {"old": 2, "new": 2},
        "medium": {"old": 1, "new": 2},
        "hard": {"old": 1, "new": 1},
    }
    assert result["counts"]["domain"] == {"pets": {"old": 4, "new": 5}}
    assert result["manifest"]["false_right.rate"] == {"old": 0.02, "new": 0.01}
    assert result["manifest"]["seeds.seed"] == {"old": 2, "new": 1}
    assert "section.count" not in result["manifest"]


def test_the_workspace_is_the_default_and_what_is_there_need_not_be_committed(work, capsys):
    assert diff(capsys)["rows"] == {kind: [] for kind in difference.KINDS}
    with (work / "data/strong/databases/cats/suite_01.sqlite").open("wb") as stream:
        stream.write(b"x")
    result = diff(capsys)
    assert (result["old"], result["new"]) == ("HEAD:data/strong", "workspace:data/strong")
    assert result["databases"] == {"added": [], "removed": [], "changed": ["cats"]}
    assert (result["unchanged"], result["manifest"]) == (5, {})
    assert kinds(diff(capsys, "HEAD~1"))["added"] == ["e", "f"]


def test_an_md5_of_dvc_lock_is_a_version_too_without_git(work, capsys):
    path = work / "dvc.lock"
    latest = yaml.safe_load(path.read_text())["stages"]["synthesize"]["outs"][0]["md5"]
    shutil.rmtree(work / ".git")
    (work / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    result = diff(capsys, latest)
    assert (result["old"], result["unchanged"], result["manifest"]) == (latest, 5, {})
    assert result["databases"] == {"added": [], "removed": [], "changed": []}
    examples = hashlib.md5((work / "data/strong/examples.jsonl").read_bytes()).hexdigest()
    assert diff(capsys, examples)["databases"]["added"] == ["cats", "dogs"]
    assert "Git revisions need a Git repository" in refused(capsys, "v1")
    assert "neither in DVC's cache nor in its remote; fetch them: dvc fetch" in refused(capsys, f"{'0' * 32}.dir")


def test_a_file_of_rows_and_paths_below_another_folder(work, capsys, monkeypatch):
    monkeypatch.chdir(work / "data")
    result = diff(capsys, "v1", "v2", "--path", "strong/examples.jsonl")
    assert result["old"] == "v1:strong/examples.jsonl"
    assert kinds(result)["added"] == ["e", "f"]
    assert result["figures"]["databases"] == {"old": 0, "new": 0}


def test_folders_and_files_need_neither_git_nor_dvc(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "one", ROWS, 1, dogs="dog (name)")
    write(tmp_path / "two", LATER_ROWS, 1, dogs="dog (name)")
    (tmp_path / "two/manifest.json").unlink()
    result = diff(capsys, "one", "two")
    assert kinds(result) == {"added": ["e", "f"], "removed": ["d"], "changed": ["b"], "moved": ["c"]}
    assert result["databases"]["changed"] == []
    assert result["manifest"]["false_right.rate"] == {"old": 0.01, "new": None}
    for name, verdict in (("old.jsonl", "mismatch"), ("new.jsonl", "match")):
        Path(name).write_text(json.dumps({"id": "a#0", "example_id": "a", "sql": "SELECT 1", "verdict": verdict}))
    result = diff(capsys, "old.jsonl", "new.jsonl")
    assert result["rows"]["changed"][0]["fields"] == ["verdict"]
    assert result["counts"]["verdict"] == {"match": {"old": 0, "new": 1}, "mismatch": {"old": 1, "new": 0}}
    assert result["figures"]["with evidence"] == {"old": None, "new": None}


def test_rows_that_changed_places_are_moved_each_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, rows in (("one", {"a": "x", "b": "y", "c": "x"}), ("two", {"a": "y", "b": "x", "d": "x"})):
        Path(name).write_text("\n".join(json.dumps({"id": key, "question": value}) for key, value in rows.items()))
    moved = [(change["old"]["id"], change["new"]["id"]) for change in diff(capsys, "one", "two")["rows"]["moved"]]
    assert moved == [("b", "a"), ("a", "b"), ("c", "d")]


def test_a_person_gets_tables_and_the_first_changes(work, capsys):
    assert cli.main(["data", "diff", "v1", "v2"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in (
        "v1:data/strong -> v2:data/strong",
        "rows 4 5 +1",
        "with evidence 0.0% 20.0% +20.0",
        "hardness medium 1 2 +1",
        "false_right.rate 2.0% 1.0% −1.0",
        "databases removed: 1: old",
        "rows: 2 added, 1 removed, 1 changed, 1 moved, 1 unchanged",
        "+ f: Mean age [of cats]? | SELECT avg(age) FROM cat",
        "changed (question 1, sql 1):",
        "- question: Which dogs are older than 3?",
        "c -> c2: The name of the oldest dog? | SELECT name FROM dog ORDER BY age DESC LIMIT 1",
    ):
        assert line in lines


def test_of_many_domains_those_are_printed_that_changed_most(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, factor in (("one", 1), ("two", 2)):
        rows = [{"id": f"{d}-{n}", "domain": f"d{d:02}"} for d in range(14) for n in range(1 if d == 13 else factor * (d + 1))]
        Path(name).write_text("\n".join(map(json.dumps, rows)))
    assert cli.main(["data", "diff", "one", "two"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "domain d12 13 26 +13" in lines
    assert "domain, 4 others 7 13 +6" in lines
    assert any(line.endswith("and 88 more") for line in lines)


def test_what_is_missing_is_named_with_the_fix(work, capsys, tmp_path, monkeypatch):
    assert "nope: no folder, file or Git revision of that name; git log" in refused(capsys, "nope")
    assert "v1:nowhere: no JSONL file and no dataset folder in that revision" in refused(capsys, "v1", "--path", "nowhere")
    assert "v1:data/none: not in dvc.lock, or neither in" in refused(capsys, "v1", "--path", "data/none")
    assert "outside of the repository" in refused(capsys, "v1", "--path", "/etc")
    assert "data/none: no JSONL file and no dataset folder, which has examples.jsonl; dvc checkout" in refused(
        capsys, "data/strong", "--path", "data/none"
    )
    shutil.rmtree(work / ".dvc/cache")
    message = refused(capsys, "v1")
    assert "v1:data/strong: not in dvc.lock, or neither in DVC's cache nor in its remote" in message
    assert "git checkout v1 && dvc pull" in message
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "HEAD: no folder or file of that name, and the current folder is in no DVC project" in refused(capsys)


def test_a_malformed_row_is_named_as_the_revision_has_it(work, capsys):
    examples = work / "data/strong/examples.jsonl"
    examples.chmod(0o644)
    examples.write_text('{"id": "a"}\n{"id": "a"}\n')
    assert "workspace:data/strong/examples.jsonl: the id 'a' occurs twice" in refused(capsys, "v1")
    run(BIN / "dvc", "commit", "-q", "-f", "synthesize")
    run("git", "commit", "-qam", "3")
    assert "HEAD:data/strong/examples.jsonl: the id 'a' occurs twice" in refused(capsys, "HEAD", "v1")
