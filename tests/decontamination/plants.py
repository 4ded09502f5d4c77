"""Planted rows: those of an evaluation set, changed in ways in which they get into training data."""

import random
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from sqlglot import exp

from sense import records
from sense.records import Example
from sense.schema import Schema, schema_text
from sense.sql.tree import parse_query
from sense.training.renaming import rename

KINDS = ("verbatim", "renamed", "widened", "cut", "reordered", "paraphrased")
"""`widened` and `cut` are renamed too: in a schema with the tables of another one, and with those alone that the query reads."""
SYNONYMS = {
    "what": "which", "which": "what", "show": "list", "list": "show", "find": "give", "give": "find", "how": "so how",
    "average": "mean", "maximum": "highest", "minimum": "lowest", "number": "count", "all": "all the", "each": "every",
    "every": "each", "highest": "largest", "lowest": "smallest", "who": "which ones", "names": "name", "name": "names",
}  # fmt: skip


def plant(kind: str, example: Example, schema: Schema, number: int, others: Sequence[Schema]) -> tuple[Example, Schema]:
    """The row as it is planted, with the schema of its database; `others` are those from which it may get further tables."""
    rng = random.Random(f"{kind}-{number}")
    row = example.model_copy(update={"id": f"{kind}-{number}", "source": "llm"})
    if kind in ("renamed", "widened", "cut"):
        renamed = rename(row, schema, rng)
        assert renamed is not None
        row, schema = renamed
        if kind == "widened":
            schema = widen(schema, rng.choice(others), rng)
        return row, cut(schema, row.sql) if kind == "cut" else schema
    if kind == "reordered":
        return row.model_copy(update={"sql": reorder(row.sql), "question": paraphrase(row.question, rng)}), schema
    if kind == "paraphrased":
        return row.model_copy(update={"question": paraphrase(row.question, rng)}), schema
    return row, schema


def widen(schema: Schema, other: Schema, rng: random.Random) -> Schema:
    """The schema with the tables of another one, but those of a name that it has, in any order."""
    names = {table.name.lower() for table in schema.tables}
    further = [table for table in other.tables if table.name.lower() not in names]
    keys = [key for key in other.foreign_keys if not {key.table.lower(), key.other_table.lower()} & names]
    tables = [*schema.tables, *further]
    rng.shuffle(tables)
    return Schema(tuple(tables), (*schema.foreign_keys, *keys))


def cut(schema: Schema, sql: str) -> Schema:
    """The schema with the tables alone whose names stand in the query."""
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    tables = tuple(table for table in schema.tables if table.name.lower() in words)
    names = {table.name for table in tables}
    return Schema(tables, tuple(key for key in schema.foreign_keys if {key.table, key.other_table} <= names))


def reorder(sql: str) -> str:
    """The same query with the parts of AND and OR, and the values of IN, the other way round, and other aliases."""
    tree = parse_query(sql)
    for node in list(tree.find_all(exp.And, exp.Or)):
        left, right = node.args["this"].copy(), node.args["expression"].copy()
        node.set("this", right)
        node.set("expression", left)
    for node in tree.find_all(exp.In):
        node.set("expressions", list(reversed(node.expressions)))
    return re.sub(r"\bT([1-4])\b", r"tab\1", tree.sql(dialect="sqlite"))


def paraphrase(question: str, rng: random.Random) -> str:
    """One word for another, two neighbours swapped, no case and other punctuation."""
    words = re.findall(r"[\w']+", question)
    replaceable = [index for index, word in enumerate(words) if word.lower() in SYNONYMS]
    if replaceable:
        index = rng.choice(replaceable)
        words[index] = SYNONYMS[words[index].lower()]
    index = rng.randrange(len(words) - 1)
    words[index], words[index + 1] = words[index + 1], words[index]
    return f"{' '.join(words).lower()} !"


def write_dataset(folder: Path, rows: Sequence[tuple[Example, Schema]]) -> None:
    """A dataset folder of rows, each on a database of its own that has the schema and no rows."""
    examples = []
    for number, (example, schema) in enumerate(rows):
        db_id = f"planted_{number:03d}"
        database = records.database_path(folder, db_id)
        database.parent.mkdir(parents=True)
        with closing(sqlite3.connect(database)) as connection:
            connection.executescript(schema_text(schema, "ddl", values=False))
        examples.append(example.model_copy(update={"db_id": db_id}))
    records.write_jsonl(folder / "examples.jsonl", examples)
