"""Two lists in one: INTERSECT, EXCEPT and UNION."""

from typing import Literal

from sense.records import Hardness
from sense.teacher.grammar.database import GrammarTable
from sense.teacher.grammar.draw import Draw, NoFit
from sense.teacher.grammar.filters import FilterDraw, comparison, named
from sense.teacher.grammar.meaning import Attribute, Combining, Comparison, Entity, Filter, Listing, OfParent, WithChildren
from sense.teacher.grammar.requests.parts import columns_of


def combined(draw: Draw, level: Hardness) -> Combining:
    """Two lists of the same column in one."""
    operator: Literal["INTERSECT", "EXCEPT", "UNION"] = draw.weighted((("INTERSECT", 5), ("EXCEPT", 4), ("UNION", 2)))
    share = draw.rng.random()
    if share < 0.12:
        return _of_two_tables(draw, operator)
    if share < 0.2:
        return _unreferred(draw)
    depth = 1 if level == "hard" else 2
    plain = 0.6 if level == "hard" else 0.35
    table = draw.table()
    if share < 0.5 and draw.parents(table):
        return _by_parents(draw, operator, table, level)
    if operator == "EXCEPT" and draw.chance(0.4) and draw.children(table) and table.label:
        first: tuple[Filter, ...] = () if level == "hard" or draw.chance(0.6) else (comparison(draw, table),)
        link = draw.pick(draw.children(table))
        child = draw.child(link)
        inner = (comparison(draw, child),) if draw.chance(0.5) else ()
        items = [draw.label(table)] if draw.chance(0.8) else draw.attributes(table, 2)
        second = (WithChildren(link, Entity(child, inner), "join"),)
        return Combining(operator, Listing(Entity(table, first), tuple(items)), Listing(Entity(table, second), tuple(items)))
    item = draw.group(table) if draw.chance(0.55) else draw.label(table)
    items = [item, draw.group(table, [item.column])] if draw.chance(0.12) else [item]
    fixed = [each.column for each in items]
    count = 2 if level == "extra" and draw.chance(0.3) else 1
    one, other = (FilterDraw(draw, True).filters(table, count, depth, fixed, plain) for _ in range(2))
    if item.column is not table.label and draw.chance(0.15):
        one = ()
    if (operator in ("INTERSECT", "UNION") and not one) or one == other:
        raise NoFit
    if operator == "EXCEPT" and any(column in columns_of(other) for column in columns_of(one)):
        raise NoFit  # the keepers whose city is not Rome, except those in Oslo
    return Combining(operator, Listing(Entity(table, one), tuple(items)), Listing(Entity(table, other), tuple(items)))


def _of_two_tables(draw: Draw, operator: Literal["INTERSECT", "EXCEPT", "UNION"]) -> Combining:
    """The values of one kind in two tables: cities with customers and suppliers."""
    kinds = ("city", "country")
    columns = [
        Attribute(table, column)
        for table in draw.database.tables.values()
        for column in draw.columns(table, lambda c: c.kind in kinds and not c.meanings)
    ]
    first = draw.pick(columns)
    second = draw.pick([other for other in columns if other.table is not first.table and other.column.kind == first.column.kind])
    first_list, second_list = (Listing(Entity(one.table), (one,)) for one in (first, second))
    return Combining(operator, first_list, second_list)


def _unreferred(draw: Draw) -> Combining:
    """The keys of the rows to which no other row refers."""
    table = draw.table(lambda table: table.key and draw.children(table))
    link = draw.pick([link for link in draw.children(table) if table.key and link.key == table.key.name])
    child = draw.child(link)
    key, foreign = Attribute(table, table.column(link.key)), Attribute(child, child.column(link.column))
    return Combining("EXCEPT", Listing(Entity(table), (key,)), Listing(Entity(child), (foreign,)), link)


def _by_parents(draw: Draw, operator: Literal["INTERSECT", "EXCEPT", "UNION"], table: GrammarTable, level: Hardness) -> Combining:
    """Values of the rows of one parent, or of one kind of parents, and of another one."""
    link = draw.pick(draw.parents(table))
    parent = draw.parent(link)
    filters = FilterDraw(draw, False)
    item = draw.group(table)
    if level == "extra" and draw.chance(0.4):
        item = Attribute(parent, draw.group(parent).column, (link,))
        one: Filter = comparison(draw, table)
        another: Filter = comparison(draw, table)
        if draw.chance(0.4):
            one, another = filters.of_parent(table, 2), filters.of_parent(table, 2)
        return Combining(operator, Listing(Entity(table, (one,)), (item,)), Listing(Entity(table, (another,)), (item,)))
    drawn = comparison(draw, parent) if draw.chance(0.7) or not parent.label else named(draw, parent)
    other = (
        comparison(draw, parent)
        if drawn.operator != "="
        else Comparison(drawn.attribute, "=", (draw.pick(drawn.attribute.column.non_null),))
    )
    if other == drawn:
        raise NoFit
    sides = [OfParent(link, Entity(parent, (one,)), "join") for one in (drawn, other)]
    first_list, second_list = (Listing(Entity(table, (side,)), (item,)) for side in sides)
    return Combining(operator, first_list, second_list)
