"""Whether the labels of a database's examples can be trusted: wrong SQL must not give a gold's result.

Mutants of each gold, plausible wrong SQL, are executed on the database and on its test suite. Where some give the gold's result
on all of them, further instances are drawn, for the literals of those mutants too; those on which some of them differ may take
the place of others, and the suite becomes the instances that tell the most mutants from their golds.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from sense.schema import introspect
from sense.sql import modes
from sense.sql.database_file import DatabaseFile
from sense.sql.execute import Executor
from sense.sql.mutants import mutants
from sense.suite import SuiteCounts, SuiteWriter, suite_path, write_suite

_MORE_SUITES = 2  # of which instances are drawn, at most, to choose from


class Label(NamedTuple):
    """How the mutants of a gold fared.

    `survivors` are how many gave the gold's result on the database and the first k instances of the suite as it was drawn at
    first, for each k from 0. `alive` are those that give it on the suite at last.
    """

    mutants: int
    survivors: tuple[int, ...]
    alive: tuple[str, ...]


class _Wrong(NamedTuple):
    """A mutant and its gold."""

    gold: str
    sql: str


def label(
    executor: Executor, database: Path, golds: Sequence[str], count: int, seed: str
) -> tuple[dict[str, Label], SuiteCounts]:
    """Writes a suite of `count` instances beside `database`; the label of each of the different golds, and how they did at first.

    The same arguments give the same files.
    """
    wrong = _mutants(database, golds)
    equal = _survivors(executor, database, wrong)
    counts = write_suite(executor, database, golds, count, seed) if count else SuiteCounts()
    killed_by = {number: _killed(executor, database, number, equal) for number in range(1, count + 1)}
    for turn in range(1, 1 + _MORE_SUITES if count else 0):
        alive = _without_killed(equal, killed_by.values())
        if not alive:
            break
        writer = SuiteWriter(executor, database, golds, [*golds, *(mutant.sql for mutant in alive)], seed)
        for number in range(turn * count + 1, (turn + 1) * count + 1):
            alive = _without_killed(alive, killed_by.values())
            if alive and len(_survivors(executor, writer.draft(number), alive)) < len(alive):
                writer.write(number)
                killed_by[number] = _killed(executor, database, number, equal)
    first = range(1, count + 1)
    chosen = max(first, _choose(killed_by, count), key=lambda numbers: len(set().union(*map(killed_by.__getitem__, numbers))))
    _keep(database, chosen, (1 + _MORE_SUITES) * count)
    stages = [_without_killed(equal, [killed_by[number] for number in first[:k]]) for k in range(count + 1)]
    last = _without_killed(equal, [killed_by[number] for number in chosen])
    labels = {
        gold: Label(
            sum(mutant.gold == gold for mutant in wrong),
            tuple(sum(mutant.gold == gold for mutant in stage) for stage in stages),
            tuple(mutant.sql for mutant in last if mutant.gold == gold),
        )
        for gold in golds
    }
    return labels, counts


def _mutants(database: Path, golds: Iterable[str]) -> list[_Wrong]:
    tables = introspect(database).tables
    columns = {table.name: [column.name for column in table.columns] for table in tables}
    keys = {table.name: [column.name for column in table.columns if column.primary_key] for table in tables}
    unique = {name: key for name, key in keys.items() if len(key) == 1}
    return [_Wrong(gold, mutant.sql) for gold in golds for mutant in mutants(gold, columns, unique)]


def _killed(executor: Executor, database: Path, number: int, wrong: Sequence[_Wrong]) -> set[_Wrong]:
    """Those whose result on instance `number` is not their gold's."""
    return set(wrong) - set(_survivors(executor, suite_path(database, number), wrong))


def _survivors(executor: Executor, database: Path, wrong: Sequence[_Wrong]) -> list[_Wrong]:
    """Those whose result on `database` is their gold's, and those whose gold does not run there, in their order."""
    files = (DatabaseFile.from_path(database),)
    groups = [list(group) for _, group in groupby(wrong, key=attrgetter("gold"))]
    batches = [modes.make_batch(modes.STRICT, files, group[0].gold, [mutant.sql for mutant in group]) for group in groups]
    return [
        mutant
        for group, verdicts in zip(groups, executor.judge_all(batches), strict=True)
        for mutant, verdict in zip(group, verdicts, strict=True)
        if verdict.correct or verdict.verdict == "gold_error"
    ]


def _without_killed(wrong: Iterable[_Wrong], killed: Iterable[Collection[_Wrong]]) -> list[_Wrong]:
    killed_anywhere = set[_Wrong]().union(*killed)
    return [mutant for mutant in wrong if mutant not in killed_anywhere]


def _choose(killed_by: Mapping[int, set[_Wrong]], count: int) -> list[int]:
    """`count` instances: one after the other, that which kills the most of those still alive."""
    chosen: list[int] = []
    killed: set[_Wrong] = set()
    while len(chosen) < min(count, len(killed_by)):
        free = [number for number in killed_by if number not in chosen]
        chosen.append(max(free, key=lambda number: len(killed_by[number] - killed)))
        killed |= killed_by[chosen[-1]]
    return sorted(chosen)


def _keep(database: Path, chosen: Sequence[int], most: int) -> None:
    """Leaves the chosen of `most` instances, of which some were not drawn, under numbers from 1."""
    for number in range(1, most + 1):
        if number not in chosen:
            suite_path(database, number).unlink(missing_ok=True)
    for number, instance in enumerate(chosen, start=1):
        suite_path(database, instance).replace(suite_path(database, number))
