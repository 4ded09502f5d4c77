"""The manifest of a dataset folder: what it counts, that it is the same for the same data, and broken ones."""

import json

import pytest

from sense import records
from sense.errors import InputError
from sense.manifest import false_right, read_manifest, write_manifest
from sense.records import Example
from sense.stages import code_dependencies

SECTION = {"seed": 3, "count": 2, "grammar": {"rows": 20, "seed": 4}}


@pytest.fixture
def dataset(tmp_path):
    rows = [
        Example(id="a", db_id="pets", question="?", sql="SELECT name FROM pet", source="grammar", hardness="easy", domain="zoo"),
        Example(id="b", db_id="pets", question="?", sql="SELECT 1 FROM pet LIMIT 1", source="llm", hardness="medium"),
    ]
    records.write_jsonl(tmp_path / "examples.jsonl", rows)
    for name in ("pets/pets.sqlite", "pets/suite_01.sqlite"):
        (tmp_path / "databases" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "databases" / name).write_bytes(name.encode())
    return tmp_path


def test_counts_coverage_digests_seeds_and_what_it_was_made_from(dataset):
    manifest = write_manifest(dataset, stage="synthesize", section=SECTION, revision="1+2")
    assert read_manifest(dataset) == manifest
    assert (manifest.examples, manifest.databases, manifest.further_databases) == (2, 1, 1)
    assert manifest.coverage.hardness == {"easy": 1, "medium": 1, "hard": 0, "extra": 0}
    assert manifest.coverage.complexity == {"1": 2} | dict.fromkeys("2345678", 0)
    assert manifest.coverage.domain == {"": 1, "zoo": 1}
    assert manifest.coverage.source == {"grammar": 1, "llm": 1}
    assert manifest.digests.examples == records.digest(dataset / "examples.jsonl")
    assert manifest.digests.databases == records.digest(dataset / "databases")
    assert manifest.seeds == {"seed": 3, "grammar.seed": 4}
    assert json.loads((dataset / "manifest.json").read_text()) == manifest.model_dump(mode="json", exclude_none=True)


def test_the_rate_of_wrong_sql_that_counts_as_right_goes_along(dataset):
    rates = false_right({"medium": (30, 3), "easy": (10, 0)})
    assert (rates.mutants, rates.survived, rates.rate) == (40, 3, 0.075)
    assert list(rates.by_hardness) == ["easy", "medium"]
    assert rates.by_hardness["medium"].rate == 0.1
    assert false_right({}).model_dump() == {"mutants": 0, "survived": 0, "rate": 0.0, "by_hardness": {}, "by_instances": {}}
    write_manifest(dataset, stage="synthesize", section={}, revision="1+2", false_right=rates)
    assert read_manifest(dataset).false_right == rates


def test_a_missing_or_broken_manifest_is_named_with_what_writes_it(dataset):
    with pytest.raises(InputError, match=r"manifest.json: no such file; the stage that wrote .* run that again"):
        read_manifest(dataset)
    (dataset / "manifest.json").write_text('{"stage": "synthesize"}')
    with pytest.raises(InputError, match=r"manifest.json: not a manifest \(revision: Field required\)"):
        read_manifest(dataset)


def test_the_revision_is_the_version_and_the_code_that_the_stage_rests_on(monkeypatch):
    revision = code_dependencies.revision("synthesize")
    assert revision == code_dependencies.revision("synthesize")
    assert revision.startswith("0.1.0+") and len(revision) == len("0.1.0+") + 12
    monkeypatch.setattr(code_dependencies, "code_dependencies", lambda _: ["sense/teacher/drafts.py"])
    assert code_dependencies.revision("synthesize") != revision
