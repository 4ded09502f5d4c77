"""The query that answers a request: its columns, groups and order on a FROM clause."""

from collections.abc import Sequence

from sqlglot import exp

from sense.teacher.grammar.database import Link
from sense.teacher.grammar.meaning import (
    AboveMeanGroups,
    Aggregate,
    Attribute,
    BestOfGroup,
    Changed,
    Classed,
    Combining,
    Contrast,
    Count,
    CountIf,
    Grouping,
    Item,
    Joined,
    Listing,
    Measure,
    Measuring,
    OrderKey,
    Ranked,
    Request,
    Running,
    Spread,
    Total,
    Twins,
)
from sense.teacher.grammar.sql.source import FUNCTIONS, Source, Step
from sense.teacher.grammar.sql.text import identifier, literal
from sense.teacher.grammar.sql.values import all_of, compare, comparison

_ARITHMETIC: dict[str, type[exp.Binary]] = {"-": exp.Sub, "+": exp.Add, "*": exp.Mul}
_SETS: dict[str, type[exp.SetOperation]] = {"INTERSECT": exp.Intersect, "EXCEPT": exp.Except, "UNION": exp.Union}


def request_tree(request: Request) -> exp.Query:
    """The query that answers `request`."""
    match request:
        case Listing():
            return _listing(request)
        case Measuring():
            source = Source(request.entity.table)
            measures = [_measure(source, measure) for measure in request.measures]
            return source.select(measures, where=source.conditions(request.entity.filters))
        case Grouping():
            return _grouping(request)
        case Combining():
            return _SETS[request.operator](this=_listing(request.first), expression=_listing(request.second), distinct=True)
        case BestOfGroup():
            return _best_of_group(request)
        case AboveMeanGroups():
            return _above_mean_groups(request)
        case Contrast():
            sides = [
                exp.Subquery(this=request_tree(Measuring(entity, (request.measure,))))
                for entity in (request.first, request.second)
            ]
            return exp.Select(expressions=[exp.Sub(this=sides[0], expression=sides[1])])
        case Twins():
            return _twins(request)


def _listing(request: Listing) -> exp.Select:
    source = Source(request.entity.table)
    items = [_item(source, item) for item in request.items] or [exp.Star()]
    return source.select(
        items,
        where=source.conditions(request.entity.filters),
        order=_order(source, request.order),
        limit=request.limit,
        offset=request.offset,
        distinct=request.distinct,
    )


def _order(source: Source, order: Sequence[OrderKey]) -> list[tuple[exp.Expr, bool]]:
    keys: list[tuple[exp.Expr, bool]] = []
    for key in order:
        tree = source.value(key.item) if isinstance(key.item, Attribute) else _measure(source, key.item)
        keys.append((tree, key.descending))
    return keys


def _grouping(request: Grouping) -> exp.Select:
    if request.outer is not None:
        return _outer_grouping(request, request.outer)
    source = Source(request.entity.table)
    keys = [source.value(key) if key.part else source.column(key) for key in request.keys]
    measures = [_measure(source, measure) for measure in request.measures]
    group = [source.value(key) if key.part else source.column(key) for key in request.keys]
    if request.identity:
        path = request.keys[0].path
        owner = source.reach([Step(link, True) for link in path])
        group = [source.plain_column(owner, path[-1].key), *(group if request.strict else ())]
    having = None
    if request.having is not None:
        having = compare(_measure(source, request.having.measure), request.having.operator, literal(request.having.value))
    return source.select(
        [*measures, *keys] if request.measures_first else [*keys, *measures],
        where=source.conditions(request.entity.filters),
        group=group,
        having=having,
        order=_order(source, request.order),
        limit=request.limit,
    )


def _outer_grouping(request: Grouping, link: Link) -> exp.Select:
    """FROM parent LEFT JOIN entity: a parent without rows of the entity has the count 0."""
    parent = request.keys[0].table
    source = Source(parent)
    step = [Step(link, False)]
    child = source.reach(step, left=True)
    inner = source.conditions(request.entity.filters, step)
    if inner is not None:
        source.rejoin(inner)
    keys = [source.plain_column(source.root, key.column.name) for key in request.keys]
    counted = exp.Count(this=source.plain_column(child, link.column))
    group = [source.plain_column(source.root, link.key)]
    order = [(exp.Count(this=source.plain_column(child, link.column)), key.descending) for key in request.order]
    return source.select([*keys, counted], group=group, order=order, limit=request.limit)


def _best_of_group(request: BestOfGroup) -> exp.Select:
    if not request.window:
        return _best_of_group_by_subquery(request)
    source = Source(request.entity.table)
    items = [source.column(item) for item in (request.key, *request.items)]
    rank = exp.Window(
        this=exp.Anonymous(this="RANK", expressions=[]),
        partition_by=[source.column(request.key)],
        order=_window_order(source.value(request.by), request.descending),
    )
    inner = source.select(
        [*items, exp.Alias(this=rank, alias=identifier("position"))], where=source.conditions(request.entity.filters)
    )
    cte = exp.CTE(this=inner, alias=exp.TableAlias(this=identifier("ranked")))
    return exp.Select(
        with_=exp.With(expressions=[cte]),
        expressions=[exp.Column(this=identifier(item.column.name)) for item in (request.key, *request.items)],
        from_=exp.From(this=exp.Table(this=identifier("ranked"))),
        where=exp.Where(this=exp.EQ(this=exp.Column(this=identifier("position")), expression=literal(1))),
    )


def _best_of_group_by_subquery(request: BestOfGroup) -> exp.Select:
    """A row whose quantity is the highest among the rows with its own value of the key: a correlated subquery."""
    table = request.entity.table
    outer, inner = Source(table), Source(table, (table.name,))
    outer.correlated = True
    function = exp.Max if request.descending else exp.Min
    same = exp.EQ(this=inner.column(request.key), expression=outer.column(request.key))
    best = inner.select([function(this=inner.value(request.by))], where=all_of([same, inner.conditions(request.entity.filters)]))
    where = all_of(
        [outer.conditions(request.entity.filters), exp.EQ(this=outer.value(request.by), expression=exp.Subquery(this=best))]
    )
    return outer.select([outer.column(item) for item in (request.key, *request.items)], where=where)


def _above_mean_groups(request: AboveMeanGroups) -> exp.Select:
    source = Source(request.entity.table)
    key, group = source.column(request.key), source.column(request.key)
    measure = exp.Alias(this=_measure(source, request.measure), alias=identifier("amount"))
    inner = source.select([key, measure], where=source.conditions(request.entity.filters), group=[group])
    groups = exp.Table(this=identifier("per_group"))
    mean = exp.Select(expressions=[exp.Avg(this=exp.Column(this=identifier("amount")))], from_=exp.From(this=groups.copy()))
    items = [exp.Column(this=identifier(request.key.column.name))]
    if request.with_measure:
        items.append(exp.Column(this=identifier("amount")))
    where = compare(exp.Column(this=identifier("amount")), request.operator, exp.Subquery(this=mean))
    cte = exp.CTE(this=inner, alias=exp.TableAlias(this=identifier("per_group")))
    return exp.Select(
        with_=exp.With(expressions=[cte]), expressions=items, from_=exp.From(this=groups), where=exp.Where(this=where)
    )


def _twins(request: Twins) -> exp.Select:
    table = request.entity.table
    if table.key is None:
        raise ValueError(f"{table.name} has no single column as its key")
    source = Source(table)
    twin = source.twin()
    same = exp.EQ(this=source.column(request.same), expression=source.plain_column(twin, request.same.column.name))
    once = exp.LT(this=source.plain_column(source.root, table.key.name), expression=source.plain_column(twin, table.key.name))
    source.join(twin, exp.And(this=same, expression=once))
    items = [source.column(request.item), source.plain_column(twin, request.item.column.name)]
    return source.select(items, where=source.conditions(request.entity.filters))


def _item(source: Source, item: Item) -> exp.Expr:
    match item:
        case Attribute():
            return source.value(item) if item.part else source.column(item)
        case Total():
            return _total(source, item)
        case Changed():
            return _changed(source, item)
        case Joined():
            with_separator = exp.DPipe(this=source.column(item.first), expression=literal(item.separator), safe=True)
            return exp.DPipe(this=with_separator, expression=source.column(item.second), safe=True)
        case Classed():
            high = exp.If(this=compare(source.value(item.attribute), ">", literal(item.bound)), true=literal(item.high))
            return exp.Case(ifs=[high], default=literal(item.low))
        case Ranked():
            return exp.Window(
                this=exp.Anonymous(this="RANK", expressions=[]),
                partition_by=[source.value(item.within)] if item.within else None,
                order=_window_order(source.value(item.attribute), item.descending),
            )
        case Running():
            total = exp.Sum(this=source.value(item.attribute))
            return exp.Window(this=total, order=_window_order(source.value(item.by), False))


def _window_order(key: exp.Expr, descending: bool) -> exp.Order:
    return exp.Order(expressions=[exp.Ordered(this=key, desc=descending, nulls_first=not descending)])


def _total(source: Source, total: Total) -> exp.Expr:
    return _ARITHMETIC[total.operator](this=source.value(total.first), expression=source.value(total.second))


def _changed(source: Source, changed: Changed) -> exp.Expr:
    match changed.function:
        case "upper":
            return exp.Upper(this=source.column(changed.attribute))
        case "lower":
            return exp.Lower(this=source.column(changed.attribute))
        case "length":
            return exp.Length(this=source.column(changed.attribute))
        case "initial":
            return exp.Anonymous(this="SUBSTR", expressions=[source.column(changed.attribute), literal(1), literal(1)])
        case "rounded":
            return exp.Round(this=source.value(changed.attribute), decimals=literal(0))


def _measure(source: Source, measure: Measure) -> exp.Expr:
    match measure:
        case Count(distinct=None):
            return exp.Count(this=exp.Star())
        case Count():
            assert measure.distinct is not None  # noqa: S101
            return exp.Count(this=exp.Distinct(expressions=[source.value(measure.distinct)]))
        case Aggregate():
            inner = _total(source, measure.of) if isinstance(measure.of, Total) else source.value(measure.of)
            call = FUNCTIONS[measure.function](this=inner)
            return exp.Cast(this=call, to=exp.DataType.build("INTEGER")) if measure.rounded else call
        case Spread():
            highest = exp.Max(this=source.value(measure.attribute))
            return exp.Sub(this=highest, expression=exp.Min(this=source.value(measure.attribute)))
        case CountIf():
            condition = comparison(source.value(measure.condition.attribute), measure.condition)
            case_ = exp.Case(ifs=[exp.If(this=condition, true=literal(1))], default=literal(0))
            total = exp.Sum(this=case_)
            if not measure.percent:
                return total
            hundred = exp.Mul(this=exp.Literal.number("100.0"), expression=total)
            return exp.Div(this=hundred, expression=exp.Count(this=exp.Star()))
