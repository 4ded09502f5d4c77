"""What training and evaluation data share: section 5 of `benchmarks.synthesis`."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor

from benchmarks.corpora import Corpus
from sense.sql.tree import fingerprint

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
