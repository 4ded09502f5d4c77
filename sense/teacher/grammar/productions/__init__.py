"""The productions of the grammar: each draws tables, columns and conditions, and returns a query with the pieces of its question.

The shape of a production's query alone decides its hardness (a test measures it). Its questions are written from the
templates under its name in phrases.yaml. A production that is listed twice is drawn twice as often.
"""

from collections.abc import Callable

from sense.records import Hardness
from sense.teacher.grammar.draw import Draw
from sense.teacher.grammar.pieces import DrawnQuery
from sense.teacher.grammar.productions import joins, nested, numbers, paths, rows, sets

Production = Callable[[Draw], DrawnQuery]

PRODUCTIONS: dict[Hardness, tuple[Production, ...]] = {
    "easy": (
        rows.listed,
        rows.distinct,
        rows.filtered,
        rows.filtered,
        rows.distinct_where,
        rows.looked_up,
        rows.missing,
        rows.sorted_,
        numbers.counted,
        numbers.counted_where,
        numbers.counted_distinct,
        numbers.counted_distinct_where,
        numbers.aggregated,
        numbers.aggregated_where,
        numbers.repeated,
        numbers.average_groups,
    ),
    "medium": (
        rows.pairs,
        rows.pairs_where,
        rows.both_,
        rows.either_,
        rows.named_like,
        rows.pairs_sorted,
        rows.filtered_sorted,
        rows.topmost,
        rows.topmost_few,
        numbers.counted_both,
        numbers.extremes,
        numbers.extremes_where,
        numbers.counts_per,
        numbers.aggregate_per,
        numbers.counts_over,
        numbers.average_over,
        joins.children_of,
        joins.children_of,
        joins.parents_with,
        joins.parents_with,
        joins.counted_children,
        joins.aggregate_children,
        joins.paired,
        joins.looked_through,
        joins.children_per,
        joins.aggregate_per_parent,
        joins.busy,
    ),
    "hard": (
        rows.filtered_topmost,
        numbers.commonest,
        numbers.best_group,
        joins.children_sorted,
        joins.parent_of_topmost,
        joins.counts_per_parent_where,
        joins.busy_where,
        paths.two_joins,
        paths.two_joins_distinct,
        paths.counts_across,
        nested.above_average,
        nested.above_group_average,
        nested.counted_above_average,
        nested.at_extreme,
        nested.same_as,
        nested.more_than_named,
        nested.childless,
        nested.in_children,
        nested.in_parents,
        nested.in_above_average,
        sets.excepted,
        sets.intersected,
        sets.united,
        sets.parents_except,
    ),
    "extra": (
        numbers.filtered_commonest,
        joins.joined_topmost,
        joins.busiest,
        joins.busiest_where,
        joins.best_parent,
        paths.counts_across_where,
        paths.counts_bridged,
        nested.pairs_above_average,
        nested.above_average_sorted,
        nested.joined_above_average,
        nested.groups_above_average,
        nested.childless_where,
        nested.counted_childless,
        nested.pairs_in_children,
        sets.both_kinds,
        sets.one_kind_only,
        sets.either_kind,
    ),
}
