"""Questions over two foreign keys: three tables in a row."""

from typing import Any

from sqlglot import exp

from sense.teacher.grammar import conditions
from sense.teacher.grammar.draw import Draw
from sense.teacher.grammar.pieces import DrawnQuery, Hops
from sense.teacher.grammar.tree import col, condition, count, join, select


def _joins(hops: Hops) -> list[exp.Join]:
    return [join(hops.links[0], hops.tables[1]), join(hops.links[1], hops.tables[2])]


def two_joins(draw: Draw) -> DrawnQuery:
    """SELECT child.a FROM child JOIN parent ON ... JOIN grandparent ON ... WHERE grandparent.x."""
    return _far(draw, draw.hops("up"), False)


def two_joins_distinct(draw: Draw) -> DrawnQuery:
    """SELECT DISTINCT a.c FROM a JOIN b ON ... JOIN c ON ... WHERE c.x, where a row of `a` may have several of `c`."""
    return _far(draw, draw.hops("down", "bridge"), True)


def _far(draw: Draw, hops: Hops, distinct: bool) -> DrawnQuery:
    begin, _, end = hops.tables
    selected = draw.selected_column(begin)
    where = conditions.any_condition(draw, end)
    tree = select([col(selected, begin)], begin, joins=_joins(hops), where=condition(where, True), distinct=distinct)
    return tree, {"hops": hops, "selected": selected, "where": where}


def counts_across(draw: Draw) -> DrawnQuery:
    """SELECT grandparent.g, COUNT(*) FROM grandparent JOIN parent ON ... JOIN child ON ... GROUP BY grandparent.g."""
    return _counts(draw, draw.hops("down"), False)


def counts_across_where(draw: Draw) -> DrawnQuery:
    """The same, of the children that meet a condition."""
    return _counts(draw, draw.hops("down"), True)


def counts_bridged(draw: Draw) -> DrawnQuery:
    """SELECT a.g, COUNT(*) FROM a JOIN b ON ... JOIN c ON ... WHERE c.x GROUP BY a.g, where b refers to both."""
    return _counts(draw, draw.hops("bridge"), True)


def _counts(draw: Draw, hops: Hops, filtered: bool) -> DrawnQuery:
    top, middle, bottom = hops.tables
    heading = draw.heading(top)
    pieces: dict[str, Any] = {"top": top, "middle": middle, "bottom": bottom, "heading": heading}
    where = None
    if filtered:
        pieces["where"] = conditions.any_condition(draw, bottom)
        where = condition(pieces["where"], True)
    tree = select([col(heading, top), count()], top, joins=_joins(hops), where=where, group=col(heading, top))
    return tree, pieces
