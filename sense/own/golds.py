"""Golds of people's own questions: read in the dialect of their database, executed on its copy, and kept as examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from sense.config import ExecutionConfig
from sense.errors import InputError
from sense.ingest import golds
from sense.ingest.golds import DroppedQuestions
from sense.own.questions import OwnQuestion
from sense.records import Example
from sense.sql.execute import Executor
from sense.sql.hardness import hardness
from sense.sql.parse import check_select, tidy, varies_between_runs
from sense.sql.tree import parse_query, parse_statements

SQLITE = "sqlite"


@dataclass(frozen=True)
class OwnGold:
    """A question with the name of its copy and its gold as SQLite may read it: what to try, in order.

    The first text is a translation if `translated`; the last is always what the person wrote.
    """

    question: OwnQuestion
    db_id: str
    texts: tuple[str, ...]
    translated: bool


@dataclass(frozen=True)
class CheckedGolds:
    """The examples that can be used, and how many of their golds were translated to SQLite's dialect."""

    examples: list[Example]
    translated: int


def assign(questions: Sequence[OwnQuestion], dialects: Mapping[str, str], dropped: DroppedQuestions) -> list[OwnGold]:
    """The questions on the databases of `dialects` (name of a copy -> its dialect in sqlglot); others go to `dropped`.

    A question that was there before goes too, whatever its SQL. InputError if one names no database and there are several.
    """
    names = {name.lower(): name for name in dialects}
    first: dict[tuple[str, str], OwnQuestion] = {}
    assigned: list[OwnGold] = []
    for question in questions:
        if not question.db_id and len(names) > 1:
            raise InputError(
                f"{question.origin}: says not which database it is about; give each question a db_id: {', '.join(dialects)}"
            )
        db_id = names.get(question.db_id.lower()) if question.db_id else next(iter(dialects))
        if db_id is None:
            there = f"{question.db_id!r}; the copies are called {', '.join(dialects)}: NAME=SOURCE names one"
            dropped.add("its database is not copied", question.origin, there)
            continue
        key = (db_id, " ".join(question.question.casefold().split()))
        if key in first:
            dropped.add("question repeated", question.origin, f"it is {first[key].origin} too")
            continue
        first[key] = question
        texts = sqlite_texts(tidy(question.sql), dialects[db_id])
        assigned.append(OwnGold(question, db_id, texts, translated=len(texts) > 1))
    return assigned


def sqlite_texts(sql: str, dialect: str) -> tuple[str, ...]:
    """`sql` as SQLite may read it: translated from `dialect` (of sqlglot), if that makes it another query; then as it is."""
    if dialect == SQLITE or check_select(sql) is not None:
        return (sql,)
    try:
        statements = parse_statements(sql, dialect)
        if len(statements) != 1 or not isinstance(statements[0], exp.Query):
            return (sql,)
        for table in statements[0].find_all(exp.Table):  # the copy has one schema
            table.set("db", None)
            table.set("catalog", None)
        text = statements[0].sql(dialect=SQLITE, comments=False, unsupported_level=ErrorLevel.RAISE)
        untranslated = parse_query(sql)
        same = untranslated is not None and untranslated.sql(dialect=SQLITE, comments=False) == text
    except (SqlglotError, RecursionError, ValueError):
        return (sql,)
    return (sql,) if same else (text, sql)


def check(assigned: Sequence[OwnGold], databases: Mapping[str, Path], dropped: DroppedQuestions) -> CheckedGolds:
    """Executes the golds on the copies, within the limits of `ingest`; those that fail go to `dropped`."""
    usable: dict[int, str] = {}
    faults: dict[int, tuple[str, str]] = {}
    waiting = list(range(len(assigned)))
    with Executor(ExecutionConfig()) as executor:
        while waiting:
            turn = {index: assigned[index].texts[len(assigned[index].texts) - 1 if index in faults else 0] for index in waiting}
            outcomes = executor.map((databases[assigned[index].db_id], sql) for index, sql in turn.items())
            again = []
            for (index, sql), outcome in zip(turn.items(), outcomes, strict=True):
                fault = (golds.VARIES, "") if varies_between_runs(sql) else golds.fault(outcome)
                if fault is None:
                    usable[index] = sql
                elif index not in faults:
                    faults[index] = fault
                    again += [index] if len(assigned[index].texts) > 1 else []
            waiting = again
    for index, gold in enumerate(assigned):
        if index not in usable:
            dropped.add(faults[index][0], gold.question.origin, faults[index][1])
    examples = [_example(assigned[index], usable[index], number) for number, index in enumerate(sorted(usable))]
    translated = sum(gold.translated and usable.get(index) == gold.texts[0] for index, gold in enumerate(assigned))
    return CheckedGolds(examples, translated)


def _example(gold: OwnGold, sql: str, number: int) -> Example:
    question = gold.question
    return Example(
        id=f"own-{number:05d}",
        db_id=gold.db_id,
        question=question.question,
        sql=sql,
        source=question.source,
        hardness=hardness(sql),
        evidence=question.evidence,
    )
