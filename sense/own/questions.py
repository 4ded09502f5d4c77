"""People's own questions with their SQL: JSONL and CSV files, and the feedback that the gateway has kept.

A file has for each question `question` and `sql`, and if it likes `db_id` and `evidence`; further columns are left alone. Of
feedback (sense.serving.feedback) the journal is read: the last word on a question counts, if it confirms or corrects its SQL.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from sense import records
from sense.errors import InputError
from sense.ingest.golds import DroppedQuestions
from sense.own.csv_file import read_cells
from sense.records import Record

JOURNAL = "journal.jsonl"
_FORMATS = f"name .jsonl or .csv files with question and sql, or the gateway's folder of feedback, which has a {JOURNAL}"
_COLUMNS = ("question", "sql")


@dataclass(frozen=True)
class OwnQuestion:
    """A question with its SQL in the dialect of its database; `origin` is its file and line.

    `db_id` is the name of the database, '' if the file does not say.
    """

    origin: str
    db_id: str
    question: str
    sql: str
    evidence: str = ""
    source: str = "own"


class _Line(Record):
    """A line of a JSONL file of questions; null is an empty text."""

    question: str | None
    sql: str | None
    db_id: str | None = None
    evidence: str | None = None


class _Judgement(Record):
    """What a person says of an answer: the fields of sense.serving.messages.FeedbackRequest that are needed here."""

    question: str
    database: str
    sql: str
    correct: bool
    corrected: str = ""
    evidence: str = ""


class _Content(Record):
    judgement: _Judgement = Field(alias="said")


class _Entry(Record):
    """A line of the journal."""

    id: str
    content: _Content


def read_questions(paths: Sequence[str], dropped: DroppedQuestions) -> list[OwnQuestion]:
    """The questions of all files and folders, in order; those without SQL go to `dropped`.

    InputError names the file, and the line, of what cannot be read.
    """
    questions: list[OwnQuestion] = []
    for name in paths:
        path = Path(name)
        if path.is_dir():
            rows = _read_feedback(path, dropped)
        elif path.suffix.lower() == ".jsonl" and path.is_file():
            rows = _read_jsonl(path)
        elif path.suffix.lower() in (".csv", ".tsv") and path.is_file():
            rows = _read_csv(path)
        else:
            raise InputError(f"{path}: {'no file of questions' if path.exists() else 'no such file or folder'}; {_FORMATS}")
        for question in rows:
            if question.question and question.sql:
                questions.append(question)
            else:
                dropped.add("no question or no SQL", question.origin)
    return questions


def _read_jsonl(path: Path) -> Iterator[OwnQuestion]:
    for number, line in records.read_numbered_jsonl(path, _Line):
        texts = [(text or "").strip() for text in (line.db_id, line.question, line.sql, line.evidence)]
        yield OwnQuestion(f"{path}, line {number}", *texts)


def _read_csv(path: Path) -> Iterator[OwnQuestion]:
    names, rows = read_cells(path)
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise InputError(f"{path}, line 1: no column {' and '.join(missing)}; there are: {', '.join(names)}; name them so")
    for number, cells in rows:
        by_name = {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
        texts = (by_name.get("db_id", ""), by_name["question"], by_name["sql"], by_name.get("evidence", ""))
        yield OwnQuestion(f"{path}, line {number}", *texts)


def _read_feedback(folder: Path, dropped: DroppedQuestions) -> Iterator[OwnQuestion]:
    path = folder / JOURNAL
    if not path.is_file():
        raise InputError(f"{folder}: there is no {JOURNAL} in it; {_FORMATS}")
    # the gateway may be writing: what has no end yet is not kept yet
    lines = path.read_bytes().splitlines(keepends=True)
    last: dict[tuple[str, str], OwnQuestion] = {}
    for number, entry in records.parse_jsonl(path, (line for line in lines if line.endswith(b"\n")), _Entry):
        judgement = entry.content.judgement
        gold = judgement.sql if judgement.correct else judgement.corrected
        question = OwnQuestion(
            f"{path}, line {number}",
            judgement.database,
            judgement.question.strip(),
            gold.strip(),
            judgement.evidence.strip(),
            "feedback",
        )
        key = (judgement.database, " ".join(judgement.question.casefold().split()))
        if key in last:
            dropped.add("feedback that later one replaces", last[key].origin)
        last[key] = question
    for question in last.values():
        if question.sql:
            yield question
        else:
            dropped.add("feedback that an answer is wrong, without a correction", question.origin)
