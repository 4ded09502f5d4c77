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

KINDS = ("verbatim", "renamed", "reordered", "paraphrased")
SYNONYMS = {
    "what": "which", "which": "what", "show": "list", "list": "show", "find": "give", "give": "find", "how": "so how",
    "average": "mean", "maximum": "highest", "minimum": "lowest", "number": "count", "all": "all the", "each": "every",
    "every": "each", "highest": "largest", "lowest": "smallest", "who": "which ones", "names": "name", "name": "names",
}  # fmt: skip


def plant(kind: str, example: Example, schema: Schema, number: int) -> tuple[Example, Schema]:
    """The row as it is planted, with the schema of its database."""
    rng = random.Random(f"{kind}-{number}")
    row = example.model_copy(update={"id": f"{kind}-{number}", "source": "llm"})
    if kind == "renamed":
        renamed = rename(row, schema, rng)
        assert renamed is not None
        return renamed
    if kind == "reordered":
        return row.model_copy(update={"sql": reorder(row.sql), "question": paraphrase(row.question, rng)}), schema
    if kind == "paraphrased":
        return row.model_copy(update={"question": paraphrase(row.question, rng)}), schema
    return row, schema


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
