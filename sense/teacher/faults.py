"""Faults of a model's drafts that show in no error: what the grammar cannot write, a model writes.

The grammar draws a query until each part of it matters. Of a model's query the same is demanded here: no condition, side of a set
operation, ORDER BY or LIMIT without effect, no LIMIT between two equal rows, no misspelt name that SQLite takes for a text, no
row that refers to nothing, and the hardness that was asked for. The SQL is a model's, so all of it runs in the sandbox.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlglot import exp

from sense.schema import introspect
from sense.sql.execute import Executor
from sense.sql.hardness import tree_hardness
from sense.sql.result import Result
from sense.sql.tree import parse_query
from sense.teacher import Draft, RejectedDraft
from sense.teacher.grammar.check import Cut, multiset, sorts_one_row, without_one_part
from sense.teacher.grammar.sql.text import sql_text

MAX_PARTS = 40
"""Parts of a query that are left out one at a time; no query that a person writes has as many conditions."""


def broken_keys(database: Path) -> str | None:
    """What is wrong with the foreign keys of a database that was built from parsed DDL; None if each row's lead somewhere."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            violation = connection.execute("PRAGMA foreign_key_check").fetchone()
        except sqlite3.OperationalError as error:  # the columns referred to are no key
            return str(error)
    if violation is None:
        return None
    table, row, parent, _ = violation
    return f"row {row} of {table} refers to a row of {parent} that is not there"


def sql_fault(executor: Executor, database: Path, draft: Draft, result: Result, match_level: bool) -> RejectedDraft | None:
    """The first fault of a draft whose SQL has this result; None if it has none.

    With `match_level`, another hardness than the one that was asked for is one.
    """
    tree = parse_query(draft.sql)
    if tree is None:
        return RejectedDraft("SQL cannot be checked", f"sqlglot cannot parse it: {draft.sql}", draft.level)
    fault = _misspelt_name(tree, database) or _fault_in_result(tree, result) or _fault_in_parts(executor, database, tree, result)
    if fault is not None:
        return RejectedDraft(fault[0], f"{fault[1]}: {draft.sql}", draft.level)
    level = tree_hardness(tree)
    if match_level and level != draft.level:
        detail = f"the SQL is {level} by Spider's rules, {draft.level} was asked for: {draft.sql}"
        return RejectedDraft("level not met", detail, draft.level)
    return None


_Fault = tuple[str, str]  # the reason to count by, and what a person or the model needs to know


def _misspelt_name(tree: exp.Query, database: Path) -> _Fault | None:
    """A name in double quotes that is no column: SQLite reads it as a text, and no error tells."""
    names = {column.name.lower() for table in introspect(database).tables for column in table.columns}
    names |= {alias.alias.lower() for alias in tree.find_all(exp.Alias)}
    names |= {column.name.lower() for alias in tree.find_all(exp.TableAlias) for column in alias.columns}
    for column in tree.find_all(exp.Column):
        if (
            isinstance(column.this, exp.Identifier)
            and column.this.quoted
            and not column.table
            and column.name.lower() not in names
        ):
            return "misspelt column", f'"{column.name}" is no column; a text stands in single quotes'
    return None


def _fault_in_result(tree: exp.Query, result: Result) -> _Fault | None:
    if list(map(tuple, result.rows)) == [(0,)]:
        return "SQL counts nothing", "the result is 0 alone"
    if sorts_one_row(tree, result.rows):
        return "idle ORDER BY", "the result has one row, which needs no order"
    return None


def _fault_in_parts(executor: Executor, database: Path, tree: exp.Query, result: Result) -> _Fault | None:
    """A LIMIT that cuts nothing off or between equal rows, or a part without which the result is the same."""
    cuts = [end for select in tree.find_all(exp.Select, exp.SetOperation) if (end := _cut(select))][:MAX_PARTS]
    parts = [part for part, _ in zip(without_one_part(tree), range(MAX_PARTS), strict=False)]
    outcomes = executor.run_all(database, [sql_text(query) for query in [*(end.keys for end in cuts), *parts]])
    for end, outcome in zip(cuts, outcomes, strict=False):
        problem = end.problem(_sort_keys(end, outcome)) if isinstance(outcome, Result) else None
        if problem == "tie at LIMIT":
            return problem, f"rows {end.last} and {end.last + 1}, of which one is cut off, are equal in the ORDER BY"
        if problem:
            return "idle LIMIT", f"there are no more than {end.last} rows to cut off"
    expected = multiset(result.rows)
    for part, outcome in zip(parts, outcomes[len(cuts) :], strict=True):
        if isinstance(outcome, Result) and multiset(outcome.rows) == expected:
            return "idle condition", f"the result is the same as that of {sql_text(part)}"
    return None


def _cut(tree: exp.Query) -> Cut | None:
    """Where LIMIT cuts; `keys` returns the columns of the query with its sort keys behind them.

    None where there is no LIMIT, where it is no number, or where nobody sees which rows are left (in EXISTS).
    """
    limit, offset, order = (tree.args.get(name) for name in ("limit", "offset", "order"))
    numbers = [part.expression for part in (offset, limit) if part is not None]
    whole = all(isinstance(number, exp.Literal) and not number.is_string and number.name.isdigit() for number in numbers)
    if limit is None or not isinstance(limit, exp.Limit) or not whole or isinstance(tree.parent, exp.Exists):
        return None
    first = int(offset.expression.name) if offset is not None else 0
    last = first + int(limit.expression.name)
    if last == 0 or last > 10**6:
        return None
    keyed = tree.copy()
    keyed.set("offset", None)
    keyed.set("limit", exp.Limit(expression=exp.Literal.number(last + 1)))
    if isinstance(keyed, exp.Select) and order is not None:
        keys = [_resolved(key.this, tree) for key in order.expressions]
        keyed.set("expressions", [*keyed.expressions, *keys])
    return Cut(keyed, first, last)


def _sort_keys(end: Cut, outcome: Result) -> list[tuple[object, ...]]:
    """The sort keys in the result of `end.keys`; without an ORDER BY all rows are equal."""
    order = end.keys.args.get("order")
    if order is None:
        return [()] * len(outcome.rows)
    count = len(order.expressions)
    if isinstance(end.keys, exp.SetOperation):  # sorted by columns of its result
        positions = list(_positions(end.keys, outcome.columns))
        return [tuple(row[position] for position in positions) for row in outcome.rows]
    return [tuple(row[len(row) - count :]) for row in outcome.rows]


def _positions(tree: exp.Query, columns: tuple[str, ...]) -> Iterator[int]:
    """The positions in the result of the columns by which a set operation is sorted; all for what is no column's name."""
    names = [name.lower() for name in columns]
    for key in tree.args["order"].expressions:
        if isinstance(key.this, exp.Literal) and key.this.name.isdigit() and 0 < int(key.this.name) <= len(names):
            yield int(key.this.name) - 1
        elif isinstance(key.this, exp.Column) and key.this.name.lower() in names:
            yield names.index(key.this.name.lower())
        else:
            yield from range(len(names))


def _resolved(key: exp.Expr, tree: exp.Query) -> exp.Expr:
    """A sort key without the numbers and aliases of the columns selected, which it may use."""
    if isinstance(key, exp.Literal) and key.name.isdigit() and 0 < int(key.name) <= len(tree.selects):
        return tree.selects[int(key.name) - 1].unalias().copy()
    aliases = {select.alias.lower(): select.unalias() for select in tree.selects if select.alias}

    def expand(node: exp.Expr) -> exp.Expr:
        plain = isinstance(node, exp.Column) and not node.table
        return aliases[node.name.lower()].copy() if plain and node.name.lower() in aliases else node

    return key.copy().transform(expand)
