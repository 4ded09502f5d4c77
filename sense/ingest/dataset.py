"""Reads a dataset folder as seeds: what `sense own` has written with questions, or the gateway's feedback."""

from pathlib import Path

from sense import records
from sense.errors import InputError
from sense.ingest.databases import DatabaseFolders
from sense.ingest.source import SeedQuestion, SeedSource, check_db_id
from sense.records import Example
from sense.sql.parse import tidy

ROWS, DATABASES = "examples.jsonl", "databases"


def read(seeds: Path) -> SeedSource:
    """The questions of a dataset folder, none of them for dev; InputError names a malformed row, or says that there is none."""
    file = seeds / ROWS
    examples = list(records.read_jsonl(file, Example))
    if not examples:
        raise InputError(
            f"{file}: holds no question; give yours (sense own SOURCE --questions FILE), or leave data.seeds as it was"
        )
    questions = tuple(
        SeedQuestion(
            index=number,
            db_id=check_db_id(example.db_id, str(file)),
            question=example.question.strip(),
            sql=tidy(example.sql),
            evidence=example.evidence,
            domain=example.domain,
        )
        for number, example in enumerate(examples)
    )
    write_database = DatabaseFolders([seeds / DATABASES]).write_database
    return SeedSource("own", questions, None, write_database, held_out_by_skeleton=True)
