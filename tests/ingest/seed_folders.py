"""Small seeds folders in the three layouts, each on databases with one table of two pets."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

SCHEMA = "CREATE TABLE pet (id INTEGER PRIMARY KEY, name TEXT, age INTEGER);"
ROWS = "INSERT INTO pet VALUES (1, 'Rex', 3), (2, 'Tom', 5);"
COUNT = "SELECT count(*) FROM pet"


def write_database(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(SCHEMA + ROWS)


def row(db_id: str, number: int, sql: str = COUNT, key: str = "query", **fields: Any) -> dict[str, Any]:
    """A row of Spider's or BIRD's question files; `key` is that of the SQL."""
    return {"db_id": db_id, "question": f"Question {number} on {db_id}?", key: sql, **fields}


def write_json(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))


def spider_folder(folder: Path, databases: int = 4, rows: int = 2) -> Path:
    """Spider's layout without a dev split, with `rows` questions on each database."""
    for number in range(databases):
        write_database(folder / "database" / f"db{number}" / f"db{number}.sqlite")
    write_json(folder / "tables.json", [])
    write_json(folder / "train_spider.json", [row(f"db{number % databases}", number) for number in range(databases * rows)])
    return folder


def bird_folder(folder: Path) -> Path:
    """BIRD's layout with the dev split alone: four questions on two databases."""
    for name in ("db0", "db1"):
        write_database(folder / "dev_databases" / name / f"{name}.sqlite")
    write_json(folder / "dev_tables.json", [])
    fields = {"evidence": "old means age > 4", "difficulty": "simple"}
    write_json(folder / "dev.json", [row(f"db{number % 2}", number, key="SQL", **fields) for number in range(4)])
    return folder


def builtin_folder(folder: Path) -> Path:
    """The built-in layout: two questions on `cats` for seed, two on `dogs` for dev."""
    folder.mkdir(parents=True)
    (folder / "seeds.yaml").write_text("seed: [cats]\ndev: [dogs]\ndomains: {cats: shelters}\n")
    for name in ("cats", "dogs"):
        (folder / name).mkdir()
        (folder / name / "schema.sql").write_text(SCHEMA)
        (folder / name / "rows.sql").write_text(ROWS)
        (folder / name / "questions.jsonl").write_text(
            '{"question": "How many?", "sql": "SELECT count(*) FROM pet;"}\n'
            '{"question": "Which?", "sql": "SELECT name FROM pet"}\n'
        )
    return folder
