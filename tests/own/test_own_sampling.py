"""Which rows are drawn: few of many, with all that they refer to, also where tables refer to themselves and to one another."""

from collections import Counter
from collections.abc import Collection, Sequence
from random import Random

import pytest

from sense.own.sampling import draw_tables
from sense.own.tables import OwnColumn, OwnReference, OwnRow, OwnTable, reservoir


class Memory:
    """A source with its rows in memory."""

    def __init__(self, tables: dict[OwnTable, list[OwnRow]]) -> None:
        self.tables = tuple(tables)
        self.rows = {table.name: rows for table, rows in tables.items()}

    def draw(self, table: OwnTable, count: int, random: Random) -> list[OwnRow]:
        return reservoir(self.rows[table.name], count, random)

    def look_up(self, table: OwnTable, columns: Sequence[str], keys: Collection[OwnRow]) -> list[OwnRow]:
        positions = table.positions(columns)
        return [row for row in self.rows[table.name] if tuple(row[i] for i in positions) in set(keys)]


def table(name: str, columns: str, *references: OwnReference) -> OwnTable:
    names = columns.split()
    return OwnTable(name, tuple(OwnColumn(column, "") for column in names), (names[0],), references)


def orphans(drawn) -> list[OwnRow]:
    rows = {one.table.name: one for one in drawn}
    missing = []
    for one in drawn:
        for reference in one.table.references:
            parent = rows[reference.parent]
            keys = {tuple(row[i] for i in parent.table.positions(reference.parent_columns)) for row in parent.rows}
            own = [tuple(row[i] for i in one.table.positions(reference.columns)) for row in one.rows]
            missing += [key for key in own if None not in key and key not in keys]
    return missing


@pytest.mark.parametrize("limit", [5, 30, 300])
def test_a_chain_of_tables_with_far_more_rows_than_allowed(limit):
    sources = {
        table("region", "id name"): [(i, f"r{i}") for i in range(500)],
        table("city", "id region", OwnReference(("region",), "region", ("id",))): [(i, i % 500) for i in range(2000)],
        table("visit", "id city", OwnReference(("city",), "city", ("id",))): [(i, i * 7 % 2000) for i in range(5000)],
    }
    drawn = draw_tables(Memory(sources), limit, "seed")
    assert [len(one.rows) for one in drawn] == [limit, limit, limit]
    assert orphans(drawn) == []


def test_two_children_with_other_parents_share_the_room_of_one_parent():
    person = table("person", "id name")
    reference = OwnReference(("person",), "person", ("id",))
    sources = {
        person: [(i, "x") for i in range(1000)],
        table("letter", "id person", reference): [(i, i) for i in range(500)],
        table("call", "id person", reference): [(i, 500 + i) for i in range(500)],
    }
    drawn = draw_tables(Memory(sources), 20, "seed")
    counts = [len(one.rows) for one in drawn]
    assert counts[0] == 20
    assert sum(counts[1:]) == 20
    assert orphans(drawn) == []


def test_a_table_that_refers_to_itself_brings_the_whole_way_up():
    link = OwnReference(("boss",), "staff", ("id",))
    sources = {table("staff", "id boss", link): [(i, (i - 1) // 3 if i else None) for i in range(1000)]}
    [drawn] = draw_tables(Memory(sources), 60, "seed")
    assert 20 <= len(drawn.rows) <= 60
    assert orphans([drawn]) == []


def test_tables_that_refer_to_one_another():
    sources = {
        table("team", "id captain", OwnReference(("captain",), "player", ("id",))): [(i, 10 * i) for i in range(50)],
        table("player", "id team", OwnReference(("team",), "team", ("id",))): [(i, i // 10) for i in range(500)],
    }
    drawn = draw_tables(Memory(sources), 40, "seed")
    assert all(0 < len(one.rows) <= 40 for one in drawn)
    assert orphans(drawn) == []


def test_rows_without_a_key_are_drawn_once_each():
    plain = OwnTable("log", (OwnColumn("text", ""),))
    [drawn] = draw_tables(Memory({plain: [(f"line {i}",) for i in range(100)]}), 10, "seed")
    assert len(set(drawn.rows)) == 10


def test_every_row_has_the_same_chance():
    counts = Counter(row for seed in range(300) for row in reservoir([(i,) for i in range(10)], 3, Random(seed)))
    assert all(60 <= counts[(i,)] <= 120 for i in range(10))  # 90 are expected, with a standard deviation of 8
