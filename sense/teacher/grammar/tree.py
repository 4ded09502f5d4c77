"""SQL for requests: sqlglot trees, and their plain text (`!=`, `NOT IN`, aliases only where a table occurs twice).

A `_Source` stands for one FROM clause: it joins tables as conditions and columns ask for them, and names them at the end.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from sqlglot import exp
from sqlglot.generators.sqlite import SQLiteGenerator

from sense.teacher import CellValue
from sense.teacher.grammar.database import GrammarColumn, GrammarTable, Link
from sense.teacher.grammar.meaning import (
    AboveMeanGroups,
    Across,
    AgainstAggregate,
    AgainstNamed,
    AgainstOther,
    AgainstParent,
    Aggregate,
    Attribute,
    BestOfGroup,
    Changed,
    Classed,
    Combining,
    Comparison,
    Contrast,
    Count,
    CountIf,
    Either,
    Entity,
    Filter,
    Grouping,
    Inequality,
    Item,
    Joined,
    Listing,
    Measure,
    Measuring,
    OfCommonest,
    OfParent,
    OrderKey,
    Ranked,
    Request,
    Running,
    Spread,
    Total,
    Twins,
    WithChildren,
)
from sense.teacher.grammar.naming import needs_quotes

_FUNCTIONS: dict[str, type[exp.AggFunc]] = {"AVG": exp.Avg, "SUM": exp.Sum, "MIN": exp.Min, "MAX": exp.Max}
_COMPARISONS: dict[str, type[exp.Binary]] = {
    "=": exp.EQ,
    "!=": exp.NEQ,
    ">": exp.GT,
    "<": exp.LT,
    ">=": exp.GTE,
    "<=": exp.LTE,
}
_ARITHMETIC: dict[str, type[exp.Binary]] = {"-": exp.Sub, "+": exp.Add, "*": exp.Mul}
_SETS: dict[str, type[exp.SetOperation]] = {"INTERSECT": exp.Intersect, "EXCEPT": exp.Except, "UNION": exp.Union}
_PATTERNS = {"contains": "%{}%", "starts": "{}%", "ends": "%{}"}
_ALIASES = "tuvwxyz"
"""The letter of the aliases in a query, by the number of queries around it that it refers to."""


class _PlainGenerator(SQLiteGenerator):
    """SQLite's dialect in the spelling that people use."""

    def not_sql(self, expression: exp.Not) -> str:
        inner = expression.this
        if isinstance(inner, exp.In):
            return self.in_sql(inner).replace(" IN ", " NOT IN ", 1)
        if isinstance(inner, exp.Is):
            return self.is_sql(inner).replace(" IS ", " IS NOT ", 1)
        return super().not_sql(expression)

    def neq_sql(self, expression: exp.NEQ) -> str:
        return self.binary(expression, "!=")


def sql_text(tree: exp.Expr) -> str:
    """The SQL text of a tree."""
    return _PlainGenerator().generate(tree, copy=False)


def request_tree(request: Request) -> exp.Query:
    """The query that answers `request`."""
    match request:
        case Listing():
            return _listing(request)
        case Measuring():
            source = _Source(request.entity.table)
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


class _Step(NamedTuple):
    """A foreign key in one direction: `up` from the child to the parent."""

    link: Link
    up: bool


@dataclass(eq=False)
class _Instance:
    """One occurrence of a table in a FROM clause; `name` is the name or alias by which its columns are qualified."""

    table_name: str
    name: str = ""
    columns: list[exp.Column] = field(default_factory=list)


class _Source:
    """A FROM clause: `table`, and the tables joined to it. `outer` are the names that queries around it have in use."""

    def __init__(self, table: GrammarTable, outer: Sequence[str] = ()) -> None:
        self.root = _Instance(table.name)
        self._outer = tuple(outer)
        self._instances: dict[tuple[_Step, ...], _Instance] = {(): self.root}
        self._joins: list[tuple[_Instance, exp.Expr, bool]] = []
        self.correlated = bool(self._outer)

    def reach(self, path: Sequence[_Step], left: bool = False) -> _Instance:
        """The table that `path` leads to, joined if it is not yet."""
        key = tuple(path)
        if key not in self._instances:
            before, step = self.reach(key[:-1], left), key[-1]
            link = step.link
            instance = _Instance(link.parent if step.up else link.child)
            child, parent = (before, instance) if step.up else (instance, before)
            on = exp.EQ(this=self.plain_column(child, link.column), expression=self.plain_column(parent, link.key))
            self._instances[key] = instance
            self._joins.append((instance, on, left))
        return self._instances[key]

    def rejoin(self, condition: exp.Expr) -> None:
        """Adds `condition` to the ON of the last join."""
        instance, before, left = self._joins[-1]
        self._joins[-1] = (instance, exp.And(this=before, expression=condition), left)

    def twin(self) -> _Instance:
        """A second occurrence of the table itself, to be joined by `join`."""
        instance = _Instance(self.root.table_name)
        self._instances[(_Step(Link("", "", "", "", ""), False),)] = instance
        return instance

    def join(self, instance: _Instance, on: exp.Expr) -> None:
        """Joins an occurrence that `reach` did not make."""
        self._joins.append((instance, on, False))

    def plain_column(self, instance: _Instance, name: str) -> exp.Column:
        """A column by its identifier."""
        column = exp.Column(this=identifier(name))
        instance.columns.append(column)
        return column

    def column(self, attribute: Attribute, base: Sequence[_Step] = ()) -> exp.Column:
        """The column of an attribute of the row that `base` leads to, as it is stored."""
        path = [*base, *(_Step(link, True) for link in attribute.path)]
        return self.plain_column(self.reach(path), attribute.column.name)

    def value(self, attribute: Attribute, base: Sequence[_Step] = ()) -> exp.Expr:
        """The value to compare, to sort or to compute with: a number stored as text is cast, `part` is taken out."""
        return _value(self.column(attribute, base), attribute)

    def conditions(self, filters: Sequence[Filter], base: Sequence[_Step] = ()) -> exp.Expr | None:
        """All of `filters` on the row that `base` leads to, joined by AND; None if there are none."""
        parts = [part for each in filters for part in self._condition(each, list(base))]
        return _all_of(parts)

    def _condition(self, part: Filter, base: list[_Step]) -> list[exp.Expr]:
        match part:
            case Comparison():
                return [comparison(self.value(part.attribute, base), part)]
            case Either():
                sides = [comparison(self.value(side.attribute, base), side) for side in (part.first, part.second)]
                return [exp.Paren(this=exp.Or(this=sides[0], expression=sides[1]))]
            case OfParent():
                return self._of_parent(part, base)
            case WithChildren():
                return self._with_children(part, base)
            case Across():
                return self._across(part, base)
            case AgainstAggregate():
                query = request_tree(Measuring(part.among, (Aggregate(part.function, _without_path(part.attribute)),)))
                return [_compare(self.value(part.attribute, base), part.operator, exp.Subquery(this=query))]
            case AgainstNamed():
                return self._against_named(part, base)
            case OfCommonest():
                commonest = Grouping(
                    Entity(part.attribute.table),
                    (_without_path(part.attribute),),
                    (),
                    order=(OrderKey(Count(), part.descending),),
                    limit=1,
                )
                return [_compare(self.value(part.attribute, base), "=", exp.Subquery(this=request_tree(commonest)))]
            case AgainstParent():
                other = Attribute(part.attribute.table, part.attribute.column, (part.link,))
                return [_compare(self.value(part.attribute, base), part.operator, self.value(other, base))]
            case AgainstOther():
                return [_compare(self.value(part.attribute, base), part.operator, self.value(part.other, base))]

    def _of_parent(self, part: OfParent, base: list[_Step]) -> list[exp.Expr]:
        if part.shape == "join" and not part.negated:
            inner = self.conditions(part.parent.filters, [*base, _Step(part.link, True)])
            return [inner] if inner is not None else []
        left = self.plain_column(self.reach(base), part.link.column)
        source = _Source(part.parent.table)
        key = source.plain_column(source.root, part.link.key)
        return [_inside(left, source.select([key], where=source.conditions(part.parent.filters)), part.negated)]

    def _with_children(self, part: WithChildren, base: list[_Step]) -> list[exp.Expr]:
        if part.shape == "join" and not part.negated:
            path = [*base, _Step(part.link, False)]
            self.reach(path)
            joined = self.conditions(part.child.filters, path)
            return [joined] if joined is not None else []
        here = self.reach(base)
        if (part.operator, part.count) != (">=", 1):
            source = _Source(part.child.table, self._names_for_correlation(here))
            where = self._correlation(source, part.link.column, here, part.link.key)
            inner = source.conditions(part.child.filters)
            counted = source.select([exp.Count(this=exp.Star())], where=_all_of([where, inner]))
            return [_compare(exp.Subquery(this=counted), part.operator, literal(part.count))]
        if part.shape == "exists":
            source = _Source(part.child.table, self._names_for_correlation(here))
            where = self._correlation(source, part.link.column, here, part.link.key)
            query = source.select([exp.Literal.number(1)], where=_all_of([where, source.conditions(part.child.filters)]))
            exists = exp.Exists(this=query)
            return [exp.Not(this=exists) if part.negated else exists]
        source = _Source(part.child.table)
        column = source.plain_column(source.root, part.link.column)
        inside = source.conditions(part.child.filters)
        if part.negated and any(value is None for value in part.child.table.column(part.link.column).values):
            not_null = exp.Not(this=exp.Is(this=source.plain_column(source.root, part.link.column), expression=exp.Null()))
            inside = _all_of([inside, not_null])
        return [_inside(self.plain_column(here, part.link.key), source.select([column], where=inside), part.negated)]

    def _across(self, part: Across, base: list[_Step]) -> list[exp.Expr]:
        if part.shape == "join" and not part.negated:
            path = [*base, _Step(part.here, False), _Step(part.there, True)]
            self.reach(path)
            joined = self.conditions(part.other.filters, path)
            return [joined] if joined is not None else []
        here = self.reach(base)
        if part.shape == "exists":
            source = _Source(part.junction, self._names_for_correlation(here))
            where = self._correlation(source, part.here.column, here, part.here.key)
            inner = source.conditions(part.other.filters, [_Step(part.there, True)])
            exists = exp.Exists(this=source.select([exp.Literal.number(1)], where=_all_of([where, inner])))
            return [exp.Not(this=exists) if part.negated else exists]
        source = _Source(part.junction)
        column = source.plain_column(source.root, part.here.column)
        inside = source.conditions(part.other.filters, [_Step(part.there, True)])
        return [_inside(self.plain_column(here, part.here.key), source.select([column], where=inside), part.negated)]

    def _against_named(self, part: AgainstNamed, base: list[_Step]) -> list[exp.Expr]:
        table, label = part.attribute.table, part.attribute.table.label
        if label is None:
            raise ValueError(f"{table.name} has no column that names a row")
        source = _Source(table)
        named = source.select(
            [source.value(_without_path(part.attribute))],
            where=comparison(source.column(Attribute(table, label)), Comparison(Attribute(table, label), "=", (part.label,))),
        )
        compared = _compare(self.value(part.attribute, base), part.operator, exp.Subquery(this=named))
        if part.operator not in ("=", ">=", "<="):
            return [compared]
        own = Attribute(table, label, part.attribute.path)
        return [compared, comparison(self.column(own, base), Comparison(own, "!=", (part.label,)))]

    def _names_for_correlation(self, here: _Instance) -> tuple[str, ...]:
        self.correlated = True
        return (*self._outer, here.table_name)

    def _correlation(self, inner: "_Source", column: str, here: _Instance, key: str) -> exp.Expr:
        return exp.EQ(this=inner.plain_column(inner.root, column), expression=self.plain_column(here, key))

    def select(
        self,
        items: Sequence[exp.Expr],
        *,
        where: exp.Expr | None = None,
        group: Sequence[exp.Expr] = (),
        having: exp.Expr | None = None,
        order: Sequence[tuple[exp.Expr, bool]] = (),
        limit: int | None = None,
        offset: int = 0,
        distinct: bool = False,
    ) -> exp.Select:
        """SELECT from this source; `order` holds (sort key, whether descending). The tables get their names now."""
        self._name_instances()
        ordered = [exp.Ordered(this=key, desc=descending, nulls_first=not descending) for key, descending in order]
        if isinstance(where, exp.Paren):
            where = where.this
        return exp.Select(
            expressions=list(items),
            distinct=exp.Distinct() if distinct else None,
            from_=exp.From(this=self._table(self.root)),
            joins=[
                exp.Join(this=self._table(instance), on=on, side="LEFT" if left else None) for instance, on, left in self._joins
            ],
            where=exp.Where(this=where) if where else None,
            group=exp.Group(expressions=list(group)) if group else None,
            having=exp.Having(this=having) if having else None,
            order=exp.Order(expressions=ordered) if ordered else None,
            limit=exp.Limit(expression=exp.Literal.number(limit)) if limit else None,
            offset=exp.Offset(expression=exp.Literal.number(offset)) if offset else None,
        )

    def _name_instances(self) -> None:
        counts = Counter(instance.table_name for instance in self._instances.values())
        repeated = 0
        for instance in self._instances.values():
            name = instance.table_name
            if counts[name] > 1 or (name in self._outer):
                repeated += 1
                instance.name = f"{_ALIASES[len(self._outer)]}{repeated}"
            else:
                instance.name = name
            if len(self._instances) > 1 or self.correlated:
                for column in instance.columns:
                    column.set("table", identifier(instance.name))

    def _table(self, instance: _Instance) -> exp.Table:
        alias = exp.TableAlias(this=identifier(instance.name)) if instance.name != instance.table_name else None
        return exp.Table(this=identifier(instance.table_name), alias=alias)


def _without_path(attribute: Attribute) -> Attribute:
    return Attribute(attribute.table, attribute.column, (), attribute.part)


# --- values and conditions


def identifier(text: str) -> exp.Identifier:
    """An identifier, in quotes where SQLite needs them."""
    return exp.Identifier(this=text, quoted=needs_quotes(text))


def literal(value: CellValue) -> exp.Expr:
    """A literal as it is written in SQL."""
    if isinstance(value, str):
        return exp.Literal.string(value)
    if isinstance(value, (int, float)) and value < 0:
        return exp.Neg(this=exp.Literal.number(-value))
    return exp.Literal.number(value)


def comparison(left: exp.Expr, part: Comparison) -> exp.Expr:
    """The tree of a condition on the value `left`."""
    values = [_literal_for(part.attribute, value, part.operator) for value in part.values]
    match part.operator:
        case "between":
            return exp.Between(this=left, low=values[0], high=values[1])
        case "in":
            return exp.In(this=left, expressions=values)
        case "not in":
            return exp.Not(this=exp.In(this=left, expressions=values))
        case "contains" | "starts" | "ends":
            return exp.Like(this=left, expression=literal(_PATTERNS[part.operator].format(part.values[0])))
        case "null":
            return exp.Is(this=left, expression=exp.Null())
        case "not null":
            return exp.Not(this=exp.Is(this=left, expression=exp.Null()))
        case _:
            left = exp.Cast(this=left, to=exp.DataType.build("INTEGER")) if _is_later_year(part) else left
            return _compare(left, part.operator, values[0])


def _is_later_year(part: Comparison) -> bool:
    """Whether the year of a date is compared as a number."""
    return part.attribute.part == "year" and part.operator not in ("=", "!=")


def _literal_for(attribute: Attribute, value: CellValue, operator: str) -> exp.Expr:
    """The literal to compare with: the year and the month of a date are texts, unless an inequality casts them."""
    if attribute.part == "year" and operator in ("=", "!=", "in", "not in"):
        return literal(str(value))
    if attribute.part == "month":
        return literal(f"{value:02d}" if isinstance(value, int) else value)
    return literal(value)


def _compare(left: exp.Expr, operator: Inequality, right: exp.Expr) -> exp.Expr:
    return _COMPARISONS[operator](this=left, expression=right)


def _inside(left: exp.Expr, query: exp.Query, negated: bool) -> exp.Expr:
    membership = exp.In(this=left, query=exp.Subquery(this=query))
    return exp.Not(this=membership) if negated else membership


def _all_of(parts: Sequence[exp.Expr | None]) -> exp.Expr | None:
    whole: exp.Expr | None = None
    for part in parts:
        if part is not None:
            whole = part if whole is None else exp.And(this=whole, expression=part)
    return whole


def _value(column: exp.Expr, attribute: Attribute) -> exp.Expr:
    """What is compared, sorted or computed with: see `_Source.value`."""
    match attribute.part:
        case "year":
            return _date_part(column, attribute.column, "%Y")
        case "month":
            return _date_part(column, attribute.column, "%m")
        case "length":
            return exp.Length(this=column)
        case _:
            if attribute.column.number_as_text:
                whole = attribute.column.kind in ("integer", "year")
                return exp.Cast(this=column, to=exp.DataType.build("INTEGER" if whole else "REAL", dialect="sqlite"))
            return column


_PART_LENGTHS = {"%Y": 4, "%m": 2, "%d": 2}


def date_part_start(date_format: str, part: str) -> int:
    """Where the year ("%Y") or the month ("%m") begins in a date that is written in `date_format`, counted from 1."""
    before = date_format[: date_format.index(part)]
    return 1 + len(re.sub("%[Ymd]", lambda match: "0" * _PART_LENGTHS[match.group()], before))


def _date_part(column: exp.Expr, spec: GrammarColumn, part: Literal["%Y", "%m"]) -> exp.Expr:
    """The year or month of a date, as text."""
    if not spec.date_format:
        return exp.Anonymous(this="STRFTIME", expressions=[literal(part), column])
    start = date_part_start(spec.date_format, part)
    return exp.Anonymous(this="SUBSTR", expressions=[column, literal(start), literal(_PART_LENGTHS[part])])


# --- items and measures


def _item(source: _Source, item: Item) -> exp.Expr:
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
            high = exp.If(this=_compare(source.value(item.attribute), ">", literal(item.bound)), true=literal(item.high))
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


def _total(source: _Source, total: Total) -> exp.Expr:
    return _ARITHMETIC[total.operator](this=source.value(total.first), expression=source.value(total.second))


def _changed(source: _Source, changed: Changed) -> exp.Expr:
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


def _measure(source: _Source, measure: Measure) -> exp.Expr:
    match measure:
        case Count(distinct=None):
            return exp.Count(this=exp.Star())
        case Count():
            assert measure.distinct is not None  # noqa: S101
            return exp.Count(this=exp.Distinct(expressions=[source.value(measure.distinct)]))
        case Aggregate():
            inner = _total(source, measure.of) if isinstance(measure.of, Total) else source.value(measure.of)
            call = _FUNCTIONS[measure.function](this=inner)
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


# --- requests


def _order(source: _Source, order: Sequence[OrderKey]) -> list[tuple[exp.Expr, bool]]:
    keys: list[tuple[exp.Expr, bool]] = []
    for key in order:
        tree = source.value(key.item) if isinstance(key.item, Attribute) else _measure(source, key.item)
        keys.append((tree, key.descending))
    return keys


def _listing(request: Listing) -> exp.Select:
    source = _Source(request.entity.table)
    items = [_item(source, item) for item in request.items] or [exp.Star()]
    return source.select(
        items,
        where=source.conditions(request.entity.filters),
        order=_order(source, request.order),
        limit=request.limit,
        offset=request.offset,
        distinct=request.distinct,
    )


def _grouping(request: Grouping) -> exp.Select:
    if request.outer is not None:
        return _outer_grouping(request, request.outer)
    source = _Source(request.entity.table)
    keys = [source.value(key) if key.part else source.column(key) for key in request.keys]
    measures = [_measure(source, measure) for measure in request.measures]
    group = [source.value(key) if key.part else source.column(key) for key in request.keys]
    if request.identity:
        path = request.keys[0].path
        owner = source.reach([_Step(link, True) for link in path])
        group = [source.plain_column(owner, path[-1].key), *(group if request.strict else ())]
    having = None
    if request.having is not None:
        having = _compare(_measure(source, request.having.measure), request.having.operator, literal(request.having.value))
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
    source = _Source(parent)
    step = [_Step(link, False)]
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
    source = _Source(request.entity.table)
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
    outer, inner = _Source(table), _Source(table, (table.name,))
    outer.correlated = True
    function = exp.Max if request.descending else exp.Min
    same = exp.EQ(this=inner.column(request.key), expression=outer.column(request.key))
    best = inner.select([function(this=inner.value(request.by))], where=_all_of([same, inner.conditions(request.entity.filters)]))
    where = _all_of(
        [outer.conditions(request.entity.filters), exp.EQ(this=outer.value(request.by), expression=exp.Subquery(this=best))]
    )
    return outer.select([outer.column(item) for item in (request.key, *request.items)], where=where)


def _above_mean_groups(request: AboveMeanGroups) -> exp.Select:
    source = _Source(request.entity.table)
    key, group = source.column(request.key), source.column(request.key)
    measure = exp.Alias(this=_measure(source, request.measure), alias=identifier("amount"))
    inner = source.select([key, measure], where=source.conditions(request.entity.filters), group=[group])
    groups = exp.Table(this=identifier("per_group"))
    mean = exp.Select(expressions=[exp.Avg(this=exp.Column(this=identifier("amount")))], from_=exp.From(this=groups.copy()))
    items = [exp.Column(this=identifier(request.key.column.name))]
    if request.with_measure:
        items.append(exp.Column(this=identifier("amount")))
    where = _compare(exp.Column(this=identifier("amount")), request.operator, exp.Subquery(this=mean))
    cte = exp.CTE(this=inner, alias=exp.TableAlias(this=identifier("per_group")))
    return exp.Select(
        with_=exp.With(expressions=[cte]), expressions=items, from_=exp.From(this=groups), where=exp.Where(this=where)
    )


def _twins(request: Twins) -> exp.Select:
    table = request.entity.table
    if table.key is None:
        raise ValueError(f"{table.name} has no single column as its key")
    source = _Source(table)
    twin = source.twin()
    same = exp.EQ(this=source.column(request.same), expression=source.plain_column(twin, request.same.column.name))
    once = exp.LT(this=source.plain_column(source.root, table.key.name), expression=source.plain_column(twin, table.key.name))
    source.join(twin, exp.And(this=same, expression=once))
    items = [source.column(request.item), source.plain_column(twin, request.item.column.name)]
    return source.select(items, where=source.conditions(request.entity.filters))
