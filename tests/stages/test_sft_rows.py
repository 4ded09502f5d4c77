"""The rows that SFT trains on: examples, and their copies under other names."""

from sense import records
from sense.config import SftConfig
from sense.records import Example
from sense.stages import sft_rows
from tests.ingest.seed_folders import write_database


def test_a_copy_whose_sql_is_not_understood_keeps_its_names_and_is_counted_as_such(tmp_path):
    write_database(records.database_path(tmp_path, "cats"))
    queries = {"a": 'SELECT name FROM pet WHERE name = "Tom"', "b": "SELECT value FROM json_each('[1]')"}
    rows = [Example(id=id, db_id="cats", question="Tom?", sql=sql, source="s", hardness="easy") for id, sql in queries.items()]
    config = SftConfig.model_validate({"model": {"name": "x"}, "rename": {"copies": 2}})
    kinds = [(row["id"], row["kind"]) for row in sft_rows.rows(tmp_path, rows, config)]
    assert kinds == [
        *[("a", "original"), ("a", "renamed"), ("a", "renamed")],
        *[("b", "original"), ("b", "not renamed"), ("b", "not renamed")],
    ]
    originals = [row for row in sft_rows.rows(tmp_path, rows, config) if row["id"] == "b"]
    assert {row["prompt"] for row in originals} == {originals[0]["prompt"]}


def test_questions_that_share_a_sequence_have_the_same_schema_and_others_in_each_copy(tmp_path):
    write_database(records.database_path(tmp_path, "cats"))
    rows = [
        Example(
            id=str(n), db_id="cats", question=f"Pets {n}?", sql=f"SELECT name FROM pet LIMIT {n}", source="s", hardness="easy"
        )
        for n in range(6)
    ]
    rows.append(
        Example(id="json", db_id="cats", question="?", sql="SELECT value FROM json_each('[1]')", source="s", hardness="easy")
    )
    config = SftConfig.model_validate(
        {"model": {"name": "x"}, "rename": {"copies": 2, "invented": 0.5}, "questions_per_sequence": 3, "loss_on": "question"}
    )
    groups: dict[str, list[dict[str, str]]] = {}
    for row in sft_rows.rows(tmp_path, rows, config):
        groups.setdefault(row["sequence"], []).append(row)
    assert [len(group) for group in groups.values()] == [3, 3, 1] + [3, 3, 1] * 2  # what cannot be renamed has its own
    for group in groups.values():
        assert len({row["schema"] for row in group}) == len({row["kind"] for row in group}) == 1
        assert all(row["prompt"].startswith(row["schema"]) for row in group)
    members = [{row["id"] for row in group} for group in groups.values() if len(group) == 3]
    assert len(set(map(frozenset, members))) > 2
    assert list(sft_rows.rows(tmp_path, rows, config)) == [row for group in groups.values() for row in group]
