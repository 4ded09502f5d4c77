"""Requests drawn on a database: which kind for which hardness, and the parts of each.

The hardness of the SQL is measured afterwards; the weights here only make the wanted one likely.
"""

from collections.abc import Callable, Mapping

from sense.records import Hardness
from sense.teacher.grammar.draw import Draw
from sense.teacher.grammar.meaning import Request
from sense.teacher.grammar.requests import far, lists, numbers, sets

Kind = Callable[[Draw, Hardness], Request]
_KINDS: Mapping[Hardness, tuple[tuple[Kind, float], ...]] = {
    "easy": (
        (lists.listing, 40),
        (lists.looked_up, 8),
        (lists.different, 9),
        (lists.related, 3),
        (numbers.measured, 33),
        (numbers.grouped, 12),
        (lists.changed, 3),
    ),
    "medium": (
        (lists.listing, 42),
        (lists.looked_up, 5),
        (lists.looked_up_beyond, 4),
        (lists.different, 4),
        (lists.name_matched, 3),
        (lists.narrowed, 4),
        (numbers.measured, 14),
        (numbers.grouped, 22),
        (numbers.outer_grouped, 4),
        (lists.changed, 6),
        (lists.ranked, 3),
        (lists.superiors, 3),
        (far.far, 4),
        (lists.twins, 2),
    ),
    "hard": (
        (lists.listing, 40),
        (lists.looked_up_beyond, 3),
        (numbers.measured, 11),
        (numbers.grouped, 17),
        (numbers.outer_grouped, 4),
        (sets.combined, 14),
        (lists.changed, 7),
        (lists.ranked, 4),
        (far.far, 10),
        (far.far_apart, 3),
        (lists.superiors, 2),
        (lists.best_of_group, 4),
        (numbers.above_mean_groups, 4),
        (numbers.contrast, 2.5),
        (lists.twins, 2),
    ),
    "extra": (
        (lists.listing, 42),
        (numbers.measured, 9),
        (numbers.grouped, 22),
        (numbers.outer_grouped, 3),
        (sets.combined, 14),
        (lists.changed, 7),
        (lists.ranked, 4),
        (far.far, 12),
        (far.far_apart, 6),
        (lists.best_of_group, 5),
        (numbers.above_mean_groups, 5),
        (numbers.contrast, 3),
    ),
}


def draw_request(draw: Draw, level: Hardness) -> Request:
    """A request whose SQL is likely of hardness `level`; NoFit if the database lacks what was drawn."""
    return draw.weighted(_KINDS[level])(draw, level)
