"""Predictions made out of a gold query: what models get wrong, what they write differently, and what no parser expects.

One change at a time by a tree (sqlglot) or by the text, now and then one on top of another. The same seed gives the same
texts. Many are still right, some by accident; nothing here writes to a database.
"""

import logging
import re
from collections.abc import Sequence
from random import Random

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from benchmarks.changes import CHANGES

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of every statement it does not know

_MAX_TRIES = 40  # for each of the `count` texts


def mutations(sql: str, random: Random, count: int, others: Sequence[str] = ()) -> list[str]:
    """`count` different texts, none of them `sql`; `others` are golds on the same database, taken now and then."""
    tree = _parse(sql)
    mutants: dict[str, None] = {}
    for _ in range(_MAX_TRIES * count):
        if len(mutants) == count:
            break
        if others and random.random() < 0.02:
            text: str | None = random.choice(others)
        elif mutants and random.random() < 0.2:
            base = random.choice(list(mutants))
            text = _change(base, _parse(base), random)
        else:
            text = _change(sql, tree, random)
        if text is not None and text != sql:
            mutants[text] = None
    return list(mutants) + [f"{sql} -- {number}" for number in range(count - len(mutants))]


def _parse(sql: str) -> exp.Query | None:
    try:
        tree = sqlglot.parse_one(sql, read="sqlite")
    except (SqlglotError, RecursionError):
        return None
    return tree if isinstance(tree, exp.Query) else None


def _change(sql: str, tree: exp.Query | None, random: Random) -> str | None:
    """One change of a random kind, None where it finds nothing to change."""
    if tree is None or random.random() < 0.3:
        return random.choice(_TEXT_CHANGES)(sql, random)
    copy = tree.copy()
    changed = random.choice(CHANGES)(copy, random)
    return changed.sql(dialect="sqlite") if changed is not None else None


# -- texts: each returns another text, None if there is nothing to change


def _replace_one(pattern, *replacements):
    """A change of one place where `pattern` fits."""
    compiled = re.compile(pattern, re.IGNORECASE)

    def change(sql, random):
        matches = list(compiled.finditer(sql))
        if not matches:
            return None
        match = random.choice(matches)
        return sql[: match.start()] + match.expand(random.choice(replacements)) + sql[match.end() :]

    return change


def _wrap(sql, random):
    frames = ["{};", "{} ;  ", "{}; SELECT 1", "{};;", "; {}", "({})", "\n\t{}\n", "{} -- distinct", "/* order by */ {}", "{} ("]
    frames += [
        "EXPLAIN {}",
        "EXPLAIN QUERY PLAN {}",
        "```sql\n{}\n```",
        "SELECT ({})",
        "SELECT * FROM ({}) ORDER BY 1",
        "SQL: {}",
    ]
    return random.choice(frames).format(sql)


def _change_case(sql, random):
    return random.choice([sql.upper(), sql.lower(), sql.swapcase(), " ".join(sql.split()), sql.replace(" ", "  ")])


def _break(sql, random):
    words = sql.split(" ")
    index = random.randrange(len(words))
    choices = [words[:index], words[:index] + words[index + 1 :], [*words[: index + 1], *words[index:]]]
    return " ".join(random.choice(choices))


def _unrelated(_, random):
    texts = [
        "",
        " ",
        ";",
        "-- no answer",
        "SELECT 1",
        "SELECT NULL WHERE 0",
        "VALUES (1), (2)",
        "PRAGMA user_version",
        "I do not know.",
    ]
    return random.choice(
        [*texts, "SELECT 1, 2, 3, 4", "SELECT 0.0", "SELECT ''", "SELECT 'value ' || ' value '", "SELECT X'00FF'"]
    )


_TEXT_CHANGES = (
    *(_wrap, _change_case, _break, _unrelated),
    _replace_one(r"\border by\b", "ORDER  BY", "order by", "ORDER\nBY", ""),
    _replace_one(r"([<>!]) ?=", r"\1 =", r"\1  =", r"\1="),
    _replace_one(r"\bSELECT (?:DISTINCT )?", "SELECT DISTINCT ", "SELECT ALL ", "select  Distinct "),
    _replace_one(r"'([^']*)'", r'"\1"', " value ", "value", "'distinct'", r"'\1' COLLATE NOCASE"),
    _replace_one(r'"([^"]*)"', r"'\1'", " value ", r"`\1`", r"[\1]"),
    _replace_one(r"\b\d+\b", " value ", "YEAR(CURDATE())", "year ( curdate( ) )", "1e0", "0x1"),
    _replace_one(r"=", "LIKE", "==", "IS", "<>"),
    _replace_one(r"\bT1\b", "T2", "T3", "t1"),
)
