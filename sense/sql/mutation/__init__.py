"""Mutation operators: each makes one kind of mistake in a query, at every place that has it.

An operator changes the tree in place, yields the class of the mistake while the change stands, and takes it back when it is asked
for the next. The nodes of the scopes therefore stay what they are.
"""

from sense.sql.mutation import aggregates, columns, conditions, expressions, joins, order
from sense.sql.mutation.changes import Operator

OPERATORS: tuple[Operator, ...] = (
    conditions.change_operators,
    aggregates.change_counts,
    aggregates.change_distinct,
    columns.change_width,
    columns.change_columns,
    joins.change_joins,
    expressions.change_set_operations,
    conditions.drop_conditions,
    aggregates.swap_aggregates,
    order.change_order,
    order.change_limits,
    conditions.negate_conditions,
    aggregates.change_groups,
    aggregates.change_windows,
    conditions.change_literals,
    conditions.swap_connectors,
    columns.change_tables,
    expressions.change_expressions,
)
