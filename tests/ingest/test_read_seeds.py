"""Reading seeds folders: malformed rows, files and databases are refused with their file, row and key."""

from pathlib import Path

import pytest

from sense import ingest
from sense.errors import InputError, UserError
from tests.ingest.seed_folders import builtin_folder, spider_folder, write_json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[\n{"db_id": "db0",\n', r"train_spider\.json: not valid JSON \(.*line 3 column 1"),
        ('{"db_id": "db0"}', r"train_spider\.json: must hold a list of rows, holds dict"),
        ("[3]", r"train_spider\.json, row 0 \(counted from 0\): must be an object, is int"),
        ('[{"db_id": "db0", "query": "SELECT 1"}]', r"row 0 .*: the key 'question' is missing; there are: db_id, query"),
        ('[{"db_id": "db0", "question": "q", "query": 7}]', r"row 0 .*: 'query' must be a string that is not empty, is 7"),
        ('[{"db_id": "db0", "question": "q", "query": "SELECT 1", "evidence": 7}]', "'evidence' must be a string, is int"),
        ('[{"db_id": "../db0", "question": "q", "query": "SELECT 1"}]', r"db_id = '\.\./db0' cannot be the name of a folder"),
    ],
)
def test_malformed_rows_are_refused_by_file_row_and_key(tmp_path: Path, text: str, message: str):
    seeds = spider_folder(tmp_path / "spider")
    (seeds / "train_spider.json").write_text(text)
    with pytest.raises(InputError, match=message):
        ingest.read_seeds(seeds)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("seeds.yaml", "seed: [cats\n", r"seeds\.yaml: not valid YAML"),
        ("seeds.yaml", "seed: [cats]\n", r"dev: missing"),
        ("seeds.yaml", "seed: [cats]\ndev: [cats]\n", r"seeds\.yaml: listed more than once: cats"),
        ("seeds.yaml", "seed: [cats]\ndev: [birds]\n", r"birds.questions\.jsonl: no such file, but seeds\.yaml lists 'birds'"),
        ("cats/schema.sql", "CREATE TABLE pet (;", r"cats.schema\.sql: SQLite refuses it"),
        ("cats/rows.sql", "ATTACH 'other.sqlite' AS other;", r"cats.rows\.sql: SQLite refuses it"),
        ("cats/questions.jsonl", '{"question": "How many?"}\n', r"questions\.jsonl, line 1: .*sql: Field required"),
    ],
)
def test_malformed_builtin_seeds_are_refused(tmp_path: Path, file: str, text: str, message: str):
    seeds = builtin_folder(tmp_path / "seeds")
    (seeds / file).write_text(text)
    with pytest.raises(UserError, match=message):
        ingest.read_seeds(seeds).write_database("cats", tmp_path / "databases" / "cats")


def test_an_unknown_layout_lists_the_files_of_the_known_ones(tmp_path: Path):
    write_json(tmp_path / "seeds" / "questions.json", [])
    with pytest.raises(InputError) as caught:
        ingest.read_seeds(tmp_path / "seeds")
    for name in ("seeds.yaml", "train_spider.json", "database/", "train_databases/", "dev_databases/", "questions.json"):
        assert name in str(caught.value)
