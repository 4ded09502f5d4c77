"""The rows that SFT trains on: examples, and their copies under other names."""

from sense import records
from sense.config import SftConfig
from sense.records import Example
from sense.stages import sft
from tests.ingest.seed_folders import write_database


def test_a_copy_whose_sql_is_not_understood_keeps_its_names_and_is_counted_as_such(tmp_path):
    write_database(records.database_path(tmp_path, "cats"))
    queries = {"a": 'SELECT name FROM pet WHERE name = "Tom"', "b": "SELECT value FROM json_each('[1]')"}
    rows = [Example(id=id, db_id="cats", question="Tom?", sql=sql, source="s", hardness="easy") for id, sql in queries.items()]
    records.write_jsonl(tmp_path / "examples.jsonl", rows)
    config = SftConfig.model_validate({"model": {"name": "x"}, "rename": {"copies": 2}})
    kinds = [(row["id"], row["kind"]) for row in sft._rows(tmp_path, config)]
    assert kinds == [
        *[("a", "original"), ("a", "renamed"), ("a", "renamed")],
        *[("b", "original"), ("b", "not renamed"), ("b", "not renamed")],
    ]
    originals = [row for row in sft._rows(tmp_path, config) if row["id"] == "b"]
    assert {row["prompt"] for row in originals} == {originals[0]["prompt"]}
