"""Strong data on one's own databases: every part has them, and by what it is held out stands in manifest, metrics and report."""

import json
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from sense import cli, records
from sense.config import SynthesizeConfig
from sense.decontamination.compared_sets import ComparedSet, read_dataset
from sense.errors import UserError
from sense.evaluation import evaluation_set
from sense.manifest import read_manifest
from sense.report import results
from sense.stages import evaluate, synthesize
from sense.teacher import runs
from sense.teacher.grammar.own.teacher import skeleton
from tests.own.shop import write_shop
from tests.teacher.grammar.test_own_teacher import tree

PARTS = ("strong", "unseen", "heldout")


def outputs(folder):
    folder.mkdir()
    return synthesize.Outputs(*(folder / name for name in (*PARTS, "decontamination.json", "metrics.json")))


def section(**changes):
    settings = {"own": ["data/own"], "count": 45, "grammar": {"per_database": 5}, "suite": 1, "execution": {"workers": 1}}
    return SynthesizeConfig.model_validate(settings | changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a copy of the shop, and its folder."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_shop(folder / "shop.sqlite")
        assert cli.main(["own", "shop.sqlite", "--rows", "60"]) == 0
        paths = outputs(folder / "out")
        return write(section(), empty_sets(), paths), folder


def empty_sets():
    return synthesize.HumanSets(ComparedSet("seed", [], {}), [ComparedSet("dev", [], {})], same_databases=True)


def write(settings, human_sets, paths):
    return synthesize.write(settings, human_sets, paths, partial(runs.write_part, seeds=Path()))


def test_each_part_has_copies_of_the_database_with_a_suite(run):
    metrics, folder = run
    assert sum(metrics["splits"].values()) == len({e.id for part in PARTS for e in records.read_dataset(folder / "out" / part)})
    assert all(metrics["splits"][part] >= 3 for part in PARTS)
    tables = set()
    for part in PARTS:
        for copy in (folder / "out" / part / "databases").iterdir():
            assert copy.name.startswith("shop_")
            assert sorted(file.name for file in copy.iterdir()) == sorted([f"{copy.name}.sqlite", "suite_01.sqlite"])
            tables.add(records.digest(copy / f"{copy.name}.sqlite"))
    assert len(tables) == 1


def test_nothing_but_values_tells_no_example_of_heldout_from_one_of_training(run):
    _, folder = run
    skeletons = {part: {skeleton(tree(e.sql)) for e in records.read_dataset(folder / "out" / part)} for part in PARTS}
    assert not skeletons["heldout"] & (skeletons["strong"] | skeletons["unseen"])
    assert not skeletons["strong"] & skeletons["unseen"]


def test_manifest_metrics_and_report_say_by_what_it_is_held_out(run):
    metrics, folder = run
    for part in PARTS:
        assert json.loads((folder / "out" / part / "manifest.json").read_text())["held_out_by"] == "SQL skeleton"
    assert metrics["held_out_by"] == "SQL skeleton"
    on_set = {"n": 1, "models": {"base": {"n": 1, "ex": 0.0, "ex_low": 0.0, "ex_high": 0.1, "executable": 1.0, "verdicts": {}}}}
    [described] = results.set_results({"sets": {"heldout": on_set | {"held_out_by": metrics["held_out_by"]}}})
    assert described.description == "synthetic questions on the databases of training, held out by SQL skeleton"
    [described] = results.set_results({"sets": {"heldout": on_set}})
    assert described.description == "synthetic questions on databases that no training saw"


def test_a_question_of_the_users_own_on_the_database_is_no_reason_to_write_nothing(run, tmp_path, monkeypatch):
    """Its schema is the same by design; the question and the SQL themselves are kept out."""
    _, folder = run
    dev = read_dataset("dev", folder / "out/heldout")
    monkeypatch.chdir(folder)
    again = write(
        section(), synthesize.HumanSets(ComparedSet("seed", [], {}), [dev], same_databases=True), outputs(tmp_path / "out")
    )
    assert sum(again["splits"].values()) >= 40
    assert again["funnel"]["dropped"]["in dev: same question"] >= 3
    dev_questions = {row.question for row in dev.rows}
    assert not any(
        example.question in dev_questions for part in PARTS for example in records.read_dataset(tmp_path / "out" / part)
    )


def test_the_same_section_writes_the_same_bytes(run, tmp_path, monkeypatch):
    _, folder = run
    monkeypatch.chdir(folder)
    write(section(), empty_sets(), outputs(tmp_path / "out"))
    for part in PARTS:
        assert records.digest(tmp_path / "out" / part) == records.digest(folder / "out" / part)


def test_too_few_questions_for_all_parts_are_no_data(run, tmp_path, monkeypatch):
    monkeypatch.chdir(run[1])
    with pytest.raises(UserError, match="leave none for strong"):
        write(section(count=4), empty_sets(), outputs(tmp_path / "out"))


def test_a_database_of_which_nothing_can_be_asked_is_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("bare.sqlite")) as connection:
        connection.executescript("CREATE TABLE bare(id INTEGER PRIMARY KEY, x TEXT); INSERT INTO bare VALUES (1, 'one')")
    assert cli.main(["own", "bare.sqlite"]) == 0
    with pytest.raises(UserError, match=r"could be kept; copy more rows or tables \(sense own\)"):
        write(section(count=4), empty_sets(), outputs(tmp_path / "out"))


def test_on_the_databases_of_dev_the_teachers_write_as_on_ones_own(run, tmp_path):
    """With `databases: dev` the data are those of the same folder under `own`, and evaluation learns what dev is held out by."""
    _, folder = run
    seed, dev = tmp_path / "seed", tmp_path / "dev"
    shutil.copytree(folder / "data/own", dev)
    seed.mkdir()
    records.write_jsonl(seed / "examples.jsonl", [])
    records.write_jsonl(dev / "examples.jsonl", [])
    paths = outputs(tmp_path / "out")
    metrics = synthesize.run(section(own=[], databases="dev"), synthesize.Inputs(seed, dev), paths)
    assert metrics["held_out_by"] == "SQL skeleton"
    for part in PARTS:
        assert records.digest(getattr(paths, part) / "examples.jsonl") == records.digest(folder / "out" / part / "examples.jsonl")
    manifest = read_manifest(paths.heldout)
    assert (manifest.section["databases"], manifest.section["own"]) == ("dev", [])
    sets = [evaluation_set.EvaluationSet(name, path, []) for name, path in (("dev", dev), ("heldout", paths.heldout))]
    assert evaluate.held_out_by(sets) == {name: {"held_out_by": "SQL skeleton"} for name in ("dev", "heldout")}


def test_own_databases_go_before_those_of_dev(run, tmp_path, monkeypatch):
    monkeypatch.chdir(run[1])
    for name in ("seed", "dev"):
        (tmp_path / name).mkdir()
        records.write_jsonl(tmp_path / name / "examples.jsonl", [])
    paths = outputs(tmp_path / "out")
    synthesize.run(section(databases="dev"), synthesize.Inputs(tmp_path / "seed", tmp_path / "dev"), paths)
    manifest = read_manifest(paths.heldout)
    assert (manifest.section["databases"], manifest.section["own"]) == ("invented", ["own"])
