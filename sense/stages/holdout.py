"""Which human-written questions become dev where their source has no dev split: those on some databases, or with some SQL."""

import hashlib
import random
from collections.abc import Sequence

from sense.decontamination.forms import skeleton
from sense.decontamination.near_duplicates import normalize
from sense.ingest import SeedQuestion

_DEV_SHARE = 0.5  # of a few dozen questions; a teacher needs a few demonstrations, an evaluation all that it can get


def hold_out_databases(
    questions: Sequence[SeedQuestion], databases: int, seed: int
) -> tuple[list[SeedQuestion], list[SeedQuestion]]:
    """Splits `questions` in two: the others, and those on `databases` databases drawn with `seed`. Both keep their order."""
    db_ids = sorted({question.db_id for question in questions})
    random.Random(f"{seed}-holdout").shuffle(db_ids)
    held_out = set(db_ids[:databases])
    return _parted(questions, [question.db_id in held_out for question in questions])


def hold_out_skeletons(
    questions: Sequence[SeedQuestion], limit: int | None, seed: int
) -> tuple[list[SeedQuestion], list[SeedQuestion]]:
    """Splits `questions` in two: the others, and about half of them, at most `limit`. Both keep their order.

    No SQL skeleton and no question is in both. Where one belongs is drawn with `seed` for each by itself, so that further
    questions leave the others where they are. One part is empty only if all questions belong together.
    """
    groups = _groups(questions)
    places = {group: _place(group, seed) for group in set(groups)}
    ranked = sorted(places, key=lambda group: (places[group], group))
    chosen = {group for group in ranked if places[group] < _DEV_SHARE} or set(ranked[:1])
    chosen -= set(ranked[-1:]) if len(chosen) == len(ranked) else set()
    while limit is not None and len(chosen) > 1 and sum(group in chosen for group in groups) > limit:
        chosen.remove(max(chosen, key=ranked.index))
    return _parted(questions, [group in chosen for group in groups])


def _parted(questions: Sequence[SeedQuestion], held_out: Sequence[bool]) -> tuple[list[SeedQuestion], list[SeedQuestion]]:
    pairs = list(zip(questions, held_out, strict=True))
    return [question for question, out in pairs if not out], [question for question, out in pairs if out]


def _groups(questions: Sequence[SeedQuestion]) -> list[str]:
    """The name of the group of each question: those with one skeleton or one wording are together, and so are theirs."""
    # "query" is before "wording": the name of a group is a skeleton, which a further wording of the same query leaves as it is
    keys = [(f"query {skeleton(question.sql)}", f"wording {normalize(question.question)}") for question in questions]
    parents = {key: key for pair in keys for key in pair}

    def root(key: str) -> str:
        while parents[key] != key:
            key = parents[key]
        return key

    for pair in keys:
        first, second = sorted(map(root, pair))
        parents[second] = first
    return [root(query) for query, _ in keys]


def _place(group: str, seed: int) -> float:
    """A number from 0 to 1."""
    return int.from_bytes(hashlib.sha256(f"{seed}-{group}".encode()).digest()[:8], "big") / 2**64
