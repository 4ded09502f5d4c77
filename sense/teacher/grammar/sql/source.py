"""One FROM clause: tables that conditions and columns ask for are joined, and named at the end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlglot import exp

from sense.teacher.grammar.database import GrammarTable, Link
from sense.teacher.grammar.meaning import (
    Across,
    AgainstAggregate,
    AgainstNamed,
    AgainstOther,
    AgainstParent,
    Attribute,
    Comparison,
    Either,
    Filter,
    OfCommonest,
    OfParent,
    WithChildren,
)
from sense.teacher.grammar.sql.text import identifier, literal
from sense.teacher.grammar.sql.values import all_of, compare, comparison, inside, value_of

FUNCTIONS: dict[str, type[exp.AggFunc]] = {"AVG": exp.Avg, "SUM": exp.Sum, "MIN": exp.Min, "MAX": exp.Max}
_ALIASES = "tuvwxyz"
"""The letter of the aliases in a query, by the number of queries around it that it refers to."""


class Step(NamedTuple):
    """A foreign key in one direction: `up` from the child to the parent."""

    link: Link
    up: bool


@dataclass(eq=False)
class Instance:
    """One occurrence of a table in a FROM clause; `name` is the name or alias by which its columns are qualified."""

    table_name: str
    name: str = ""
    columns: list[exp.Column] = field(default_factory=list)


class Source:
    """A FROM clause: `table`, and the tables joined to it. `outer` are the names that queries around it have in use."""

    def __init__(self, table: GrammarTable, outer: Sequence[str] = ()) -> None:
        self.root = Instance(table.name)
        self._outer = tuple(outer)
        self._instances: dict[tuple[Step, ...], Instance] = {(): self.root}
        self._joins: list[tuple[Instance, exp.Expr, bool]] = []
        self.correlated = bool(self._outer)

    def reach(self, path: Sequence[Step], left: bool = False) -> Instance:
        """The table that `path` leads to, joined if it is not yet."""
        key = tuple(path)
        if key not in self._instances:
            before, step = self.reach(key[:-1], left), key[-1]
            link = step.link
            instance = Instance(link.parent if step.up else link.child)
            child, parent = (before, instance) if step.up else (instance, before)
            on = exp.EQ(this=self.plain_column(child, link.column), expression=self.plain_column(parent, link.key))
            self._instances[key] = instance
            self._joins.append((instance, on, left))
        return self._instances[key]

    def rejoin(self, condition: exp.Expr) -> None:
        """Adds `condition` to the ON of the last join."""
        instance, before, left = self._joins[-1]
        self._joins[-1] = (instance, exp.And(this=before, expression=condition), left)

    def twin(self) -> Instance:
        """A second occurrence of the table itself, to be joined by `join`."""
        instance = Instance(self.root.table_name)
        self._instances[(Step(Link("", "", "", "", ""), False),)] = instance
        return instance

    def join(self, instance: Instance, on: exp.Expr) -> None:
        """Joins an occurrence that `reach` did not make."""
        self._joins.append((instance, on, False))

    def plain_column(self, instance: Instance, name: str) -> exp.Column:
        """A column by its identifier."""
        column = exp.Column(this=identifier(name))
        instance.columns.append(column)
        return column

    def column(self, attribute: Attribute, base: Sequence[Step] = ()) -> exp.Column:
        """The column of an attribute of the row that `base` leads to, as it is stored."""
        path = [*base, *(Step(link, True) for link in attribute.path)]
        return self.plain_column(self.reach(path), attribute.column.name)

    def value(self, attribute: Attribute, base: Sequence[Step] = ()) -> exp.Expr:
        """The value to compare, to sort or to compute with: a number stored as text is cast, `part` is taken out."""
        return value_of(self.column(attribute, base), attribute)

    def conditions(self, filters: Sequence[Filter], base: Sequence[Step] = ()) -> exp.Expr | None:
        """All of `filters` on the row that `base` leads to, joined by AND; None if there are none."""
        parts = [part for each in filters for part in self._condition(each, list(base))]
        return all_of(parts)

    def _condition(self, part: Filter, base: list[Step]) -> list[exp.Expr]:
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
                among = Source(part.among.table)
                call = FUNCTIONS[part.function](this=among.value(without_path(part.attribute)))
                query = among.select([call], where=among.conditions(part.among.filters))
                return [compare(self.value(part.attribute, base), part.operator, exp.Subquery(this=query))]
            case AgainstNamed():
                return self._against_named(part, base)
            case OfCommonest():
                return [compare(self.value(part.attribute, base), "=", exp.Subquery(this=_commonest(part)))]
            case AgainstParent():
                other = Attribute(part.attribute.table, part.attribute.column, (part.link,))
                return [compare(self.value(part.attribute, base), part.operator, self.value(other, base))]
            case AgainstOther():
                return [compare(self.value(part.attribute, base), part.operator, self.value(part.other, base))]

    def _of_parent(self, part: OfParent, base: list[Step]) -> list[exp.Expr]:
        if part.shape == "join" and not part.negated:
            inner = self.conditions(part.parent.filters, [*base, Step(part.link, True)])
            return [inner] if inner is not None else []
        left = self.plain_column(self.reach(base), part.link.column)
        source = Source(part.parent.table)
        key = source.plain_column(source.root, part.link.key)
        return [inside(left, source.select([key], where=source.conditions(part.parent.filters)), part.negated)]

    def _with_children(self, part: WithChildren, base: list[Step]) -> list[exp.Expr]:
        if part.shape == "join" and not part.negated:
            path = [*base, Step(part.link, False)]
            self.reach(path)
            joined = self.conditions(part.child.filters, path)
            return [joined] if joined is not None else []
        here = self.reach(base)
        if (part.operator, part.count) != (">=", 1):
            source = Source(part.child.table, self._names_for_correlation(here))
            where = self._correlation(source, part.link.column, here, part.link.key)
            inner = source.conditions(part.child.filters)
            counted = source.select([exp.Count(this=exp.Star())], where=all_of([where, inner]))
            return [compare(exp.Subquery(this=counted), part.operator, literal(part.count))]
        if part.shape == "exists":
            source = Source(part.child.table, self._names_for_correlation(here))
            where = self._correlation(source, part.link.column, here, part.link.key)
            query = source.select([exp.Literal.number(1)], where=all_of([where, source.conditions(part.child.filters)]))
            exists = exp.Exists(this=query)
            return [exp.Not(this=exists) if part.negated else exists]
        source = Source(part.child.table)
        column = source.plain_column(source.root, part.link.column)
        within = source.conditions(part.child.filters)
        if part.negated and any(value is None for value in part.child.table.column(part.link.column).values):
            not_null = exp.Not(this=exp.Is(this=source.plain_column(source.root, part.link.column), expression=exp.Null()))
            within = all_of([within, not_null])
        return [inside(self.plain_column(here, part.link.key), source.select([column], where=within), part.negated)]

    def _across(self, part: Across, base: list[Step]) -> list[exp.Expr]:
        if part.shape == "join" and not part.negated:
            path = [*base, Step(part.here, False), Step(part.there, True)]
            self.reach(path)
            joined = self.conditions(part.other.filters, path)
            return [joined] if joined is not None else []
        here = self.reach(base)
        if part.shape == "exists":
            source = Source(part.junction, self._names_for_correlation(here))
            where = self._correlation(source, part.here.column, here, part.here.key)
            inner = source.conditions(part.other.filters, [Step(part.there, True)])
            exists = exp.Exists(this=source.select([exp.Literal.number(1)], where=all_of([where, inner])))
            return [exp.Not(this=exists) if part.negated else exists]
        source = Source(part.junction)
        column = source.plain_column(source.root, part.here.column)
        within = source.conditions(part.other.filters, [Step(part.there, True)])
        return [inside(self.plain_column(here, part.here.key), source.select([column], where=within), part.negated)]

    def _against_named(self, part: AgainstNamed, base: list[Step]) -> list[exp.Expr]:
        table, label = part.attribute.table, part.attribute.table.label
        if label is None:
            raise ValueError(f"{table.name} has no column that names a row")
        source = Source(table)
        named = source.select(
            [source.value(without_path(part.attribute))],
            where=comparison(source.column(Attribute(table, label)), Comparison(Attribute(table, label), "=", (part.label,))),
        )
        compared = compare(self.value(part.attribute, base), part.operator, exp.Subquery(this=named))
        if part.operator not in ("=", ">=", "<="):
            return [compared]
        own = Attribute(table, label, part.attribute.path)
        return [compared, comparison(self.column(own, base), Comparison(own, "!=", (part.label,)))]

    def _names_for_correlation(self, here: Instance) -> tuple[str, ...]:
        self.correlated = True
        return (*self._outer, here.table_name)

    def _correlation(self, inner: "Source", column: str, here: Instance, key: str) -> exp.Expr:
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

    def _table(self, instance: Instance) -> exp.Table:
        alias = exp.TableAlias(this=identifier(instance.name)) if instance.name != instance.table_name else None
        return exp.Table(this=identifier(instance.table_name), alias=alias)


def without_path(attribute: Attribute) -> Attribute:
    """The same column, of a row of its own table."""
    return Attribute(attribute.table, attribute.column, (), attribute.part)


def _commonest(part: OfCommonest) -> exp.Select:
    """The value that most rows have."""
    source = Source(part.attribute.table)
    own = without_path(part.attribute)
    order = [(exp.Count(this=exp.Star()), part.descending)]
    return source.select([source.value(own)], group=[source.value(own)], order=order, limit=1)
