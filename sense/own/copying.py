"""The dataset folder with the copies of one's own databases, as SQLite files, and one's own questions, if there are any."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sense import __version__, records
from sense.config import OwnConfig, environment
from sense.errors import InputError, UserError
from sense.ingest.golds import DroppedQuestions
from sense.manifest import FILE, read_manifest, write_manifest
from sense.own.golds import CheckedGolds, assign, check
from sense.own.masking import mask_tables, masked_columns
from sense.own.named_rows import named_rows
from sense.own.questions import read_questions
from sense.own.sampling import DrawnTable, draw_tables
from sense.own.sources import NamedSource
from sense.teacher import database_bytes
from sense.teacher.grammar.own.database import draft_glossary, read_own_database
from sense.teacher.grammar.own.glossary import glossary_path, glossary_text

STAGE = "own"
"""The name of what writes such a folder, in its manifest."""

_CODE = Path(__file__).parent


@dataclass(frozen=True)
class OwnCopies:
    """The tables of each copy by the name of the database, and what became of one's own questions: `golds`, and `dropped`."""

    tables: dict[str, list[DrawnTable]]
    golds: CheckedGolds
    dropped: DroppedQuestions


def copy_databases(config: OwnConfig, sources: Sequence[NamedSource], out: Path) -> OwnCopies:
    """Writes the dataset folder `out`, whole or not at all: the copies, and those of one's own questions that can be used.

    A glossary that is there for a database stays as it is, else it is drafted. The same rows and the same configuration give the
    same bytes. UserError if `out` is there and was not written so; InputError if there are questions and none can be used.
    """
    _check_place(out)
    staged = out.with_name(f".{out.name}.new.partial")
    records.remove(staged)
    dropped = DroppedQuestions()
    assigned = assign(read_questions(config.questions, dropped), {source.name: source.dialect for source in sources}, dropped)
    copies: dict[str, list[DrawnTable]] = {}
    for source in sources:
        texts = [gold.texts[0] for gold in assigned if gold.db_id == source.name]
        drawn = copies[source.name] = draw_source(config, source, texts)
        path = records.database_path(staged, source.name)
        with records.atomic(path) as stream:
            stream.write(database_bytes(source.name, [create_table(one) for one in drawn], _rows(drawn)))
        _write_glossary(staged, source.name, out)
    checked = check(assigned, {source.name: records.database_path(staged, source.name) for source in sources}, dropped)
    if config.questions and not checked.examples:
        raise InputError(
            "\n".join(["none of your questions can be used; mend them, or copy more rows (--rows)", *dropped.lines()])
        )
    records.write_jsonl(staged / "examples.jsonl", checked.examples)
    section = config.model_dump(mode="json", exclude={"sources", "questions", "timeout_s"})
    write_manifest(staged, stage=STAGE, section=section, revision=_revision())
    records.deliver(staged, out)
    return OwnCopies(copies, checked, dropped)


def _write_glossary(staged: Path, name: str, out: Path) -> None:
    """Drafts the glossary of a copy, or takes that which `out` has for it, which the user may have corrected."""
    path, before = glossary_path(staged, name), glossary_path(out, name)
    text = records.read_text(before) if before.is_file() else glossary_text(name, draft_glossary(read_own_database(staged, name)))
    records.write_text(path, text)
    read_own_database(staged, name)  # refuses what does not fit the copy


def draw_source(config: OwnConfig, source: NamedSource, golds: Sequence[str]) -> list[DrawnTable]:
    """The tables of a source with the rows of its copy, masked; the rows that `golds` name are among them."""
    with source.open(config) as opened:
        drawn = draw_tables(opened, config.rows, f"{config.seed}-{source.name}", named_rows(opened, golds))
    columns = masked_columns([one.table for one in drawn], config.mask, source.name)
    key = f"{environment('SENSE_MASK_KEY') or config.seed}"
    return mask_tables(drawn, columns, key)


def create_table(drawn: DrawnTable) -> str:
    """The CREATE TABLE statement of a table with those constraints that its rows meet."""
    table = drawn.table
    lines = []
    values = {column.name: [row[index] for row in drawn.rows] for index, column in enumerate(table.columns)}
    for column in table.columns:
        not_null = not column.nullable and None not in values[column.name]
        lines.append(" ".join(filter(None, [_quoted(column.name), column.type, "NOT NULL" if not_null else ""])))
    if table.key and _is_unique(drawn, table.key):
        lines.append(f"PRIMARY KEY ({', '.join(map(_quoted, table.key))})")
    for reference in table.references:
        columns, others = (", ".join(map(_quoted, names)) for names in (reference.columns, reference.parent_columns))
        lines.append(f"FOREIGN KEY ({columns}) REFERENCES {_quoted(reference.parent)} ({others})")
    return f"CREATE TABLE {_quoted(table.name)} (\n  " + ",\n  ".join(lines) + "\n)"


def _is_unique(drawn: DrawnTable, names: Sequence[str]) -> bool:
    positions = drawn.table.positions(names)
    keys = [tuple(row[index] for index in positions) for row in drawn.rows]
    return len(set(keys)) == len(keys) and not any(None in key for key in keys)


def _rows(drawn: Sequence[DrawnTable]) -> tuple[tuple[str, tuple[tuple[str | int | float | None, ...], ...]], ...]:
    return tuple((one.table.name, tuple(one.rows)) for one in drawn)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _check_place(out: Path) -> None:
    """UserError if there is something that this command has not written, and would delete."""
    if not out.exists() and not out.is_symlink():
        return
    if out.is_dir() and not any(out.iterdir()):
        return
    if (out / FILE).is_file() and read_manifest(out).stage == STAGE:
        return
    raise UserError(f"{out}: is there already, and `sense own` has not written it; name another folder (--out), or move it away")


def _revision() -> str:
    """The version of SENSE with a digest of the code of this package."""
    total = hashlib.sha256()
    for path in sorted(_CODE.glob("*.py")):
        total.update(f"{path.name}\0{records.digest(path)}\n".encode())
    return f"{__version__}+{total.hexdigest()[:12]}"


def guessed_references(drawn: Sequence[DrawnTable]) -> list[str]:
    """The foreign keys of a copy that its source does not declare, as text."""
    return [
        f"{one.table.name}.{', '.join(reference.columns)} = {reference.parent}.{', '.join(reference.parent_columns)}"
        for one in drawn
        for reference in one.table.references
        if not reference.declared
    ]
