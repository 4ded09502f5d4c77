"""All that is told of a query by its tree, from one parse."""

from typing import NamedTuple

from sense.records import Hardness
from sense.sql.hardness import Complexity, tree_complexity, tree_hardness
from sense.sql.tree import canonical_text, shared_tree


class Analysis(NamedTuple):
    """What a query is: its canonical form (`tree.fingerprint`), Spider's level, and the counts of its parts."""

    fingerprint: str
    hardness: Hardness
    complexity: Complexity


def analyze(sql: str) -> Analysis:
    """The analysis of `sql`.

    >>> analyze("select Name from pet").fingerprint, analyze("SELECT name FROM pet").hardness
    ('SELECT name FROM pet', 'easy')
    """
    tree = shared_tree(sql)
    return Analysis(canonical_text(tree and tree.copy(), sql), tree_hardness(tree), tree_complexity(tree))
