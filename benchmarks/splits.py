"""What training and evaluation data share: section 5 of `benchmarks.synthesis`."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from random import Random

from benchmarks.corpora import Corpus
from sense.decontamination.compared_sets import ComparedSet, read_dataset, read_set
from sense.decontamination.comparison import Comparison, find_overlaps
from sense.records import Example
from sense.sql.tree import fingerprint
from tests.decontamination.plants import KINDS, plant, write_dataset

THRESHOLD = 0.8
"""Questions are near duplicates if more of their trigrams than this share are common to both (Jaccard)."""


@dataclass
class Overlap:
    """What heldout shares with strong, as numbers of domains, rows and questions, and near duplicates within strong."""

    heldout_domains: int
    shared_domains: int
    heldout_rows: int
    shared_sql: int
    near_questions: int
    strong_rows: int
    near_within_strong: int


def measure(corpus: Corpus) -> Overlap:
    """Compares the splits of a corpus. A near duplicate within strong is a question with one like it before it."""
    strong, heldout = ([row for row in corpus.rows if row.split == split] for split in ("strong", "heldout"))
    domains, trained = ({row.domain for row in rows} for rows in (heldout, strong))
    fingerprints = {fingerprint(row.sql) for row in strong}
    pairs = list(near_duplicates([row.question for row in (*strong, *heldout)]))
    first = len(strong)
    return Overlap(
        heldout_domains=len(domains),
        shared_domains=len(domains & trained),
        heldout_rows=len(heldout),
        shared_sql=sum(fingerprint(row.sql) in fingerprints for row in heldout),
        near_questions=len({later for earlier, later in pairs if earlier < first <= later}),
        strong_rows=len(strong),
        near_within_strong=len({later for _, later in pairs if later < first}),
    )


def near_duplicates(questions: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The positions of all pairs of near duplicates, the earlier one first; exact, by prefix filtering.

    Trigrams are ordered from the rarest. Two sets whose index is above the threshold share one of the first few of each, so
    that only questions with a rare trigram in common are compared.

    >>> list(near_duplicates(["How many pets are there?", "Show all owners.", "How many pets are there now?"]))
    [(0, 2)]
    """
    sets = [trigrams(question) for question in questions]
    frequency = Counter(trigram for trigram_set in sets for trigram in trigram_set)
    index: defaultdict[tuple[str, int], list[int]] = defaultdict(list)  # by trigram and by how many trigrams the question has
    for position, mine in enumerate(sets):
        size = len(mine)
        ranked = sorted(mine, key=lambda trigram: (frequency[trigram], trigram))
        prefix = ranked[: size - ceil(THRESHOLD * size) + 1]
        sizes = range(ceil(THRESHOLD * size), floor(size / THRESHOLD) + 1)
        candidates = {earlier for trigram in prefix for other in sizes for earlier in index.get((trigram, other), ())}
        for earlier in sorted(candidates):
            if jaccard(mine, sets[earlier]) > THRESHOLD:
                yield earlier, position
        for trigram in prefix:
            index[trigram, size].append(position)


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def trigrams(question: str) -> frozenset[str]:
    """The rows of three characters of a question, in lower case, its marks left out."""
    text = " ".join("".join(char if char.isalnum() else " " for char in question.casefold()).split())
    return frozenset(text[start : start + 3] for start in range(max(1, len(text) - 2)))


def planted_recall(evaluation: Path, folder: Path, each: int) -> dict[str, tuple[int, int]]:
    """Kind -> how many rows of an evaluation set were planted in data, and how many of them `sense decontaminate` would drop.

    `each` rows of each kind are drawn; those with other conditions' order are of rows that have two conditions.
    """
    whole = read_set(evaluation)
    examples = [Example(**row.model_dump(), source="human", hardness="easy") for row in whole.rows]
    Random(0).shuffle(examples)
    several = [example for example in examples if " AND " in example.sql.upper() or " OR " in example.sql.upper()]
    others = list(whole.schemas.values())
    planted = [
        plant(kind, example, whole.schemas[example.db_id], number, others)
        for kind in KINDS
        for number, example in enumerate((several if kind == "reordered" else examples)[:each])
    ]
    write_dataset(folder, planted)
    against = ComparedSet("evaluation", whole.rows, whole.schemas)
    data = read_dataset("planted", folder)
    hits = Counter(overlap.row.id.partition("-")[0] for overlap in find_overlaps(data, Comparison([against])))
    totals = Counter(row.id.partition("-")[0] for row in data.rows)
    return {kind: (totals[kind], hits[kind]) for kind in KINDS}
