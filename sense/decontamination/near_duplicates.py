"""Questions that are nearly the same: MinHash finds the candidates, and the exact Jaccard index of their trigrams decides.

Trigrams are those of characters, in lower case, with all punctuation and white space as single blanks. Trigrams of words would
take two questions of ten words for different ones as soon as two words differ.
"""

import zlib
from functools import lru_cache
from typing import NamedTuple

from datasketch import MinHash, MinHashLSH

THRESHOLD = 0.8
"""Two questions are near-duplicates from this Jaccard index on."""
_BANDS, _ROWS = 25, 5  # of a pair at the threshold, 1 in 20,000 is missed; of one at 0.9, 1 in 10^10

_EMPTY = MinHash(num_perm=_BANDS * _ROWS, seed=1, hashfunc=zlib.crc32)


class Sketch(NamedTuple):
    """A question as it is compared: its words in lower case, and the MinHash of its trigrams."""

    text: str
    minhash: MinHash


class Match(NamedTuple):
    """The number of a question in the order in which they were added, and its Jaccard index."""

    number: int
    similarity: float


class NearDuplicates:
    """An index of questions that is asked for the nearest one to another."""

    def __init__(self) -> None:
        self._index = MinHashLSH(num_perm=_BANDS * _ROWS, params=(_BANDS, _ROWS))
        self._texts: list[str] = []

    def add(self, question: Sketch) -> int:
        """Adds a question; returns its number."""
        number = len(self._texts)
        self._texts.append(question.text)
        self._index.insert(number, question.minhash)
        return number

    def nearest(self, question: Sketch) -> Match | None:
        """The near-duplicate of highest Jaccard index, of equal ones the first added; None if there is none."""
        matches = (
            Match(number, similarity(question.text, self._texts[number])) for number in self._index.query(question.minhash)
        )
        best = min(matches, key=lambda match: (-match.similarity, match.number), default=None)
        return best if best is not None and best.similarity >= THRESHOLD else None


def sketch(question: str) -> Sketch:
    """The question as it is compared."""
    text = normalize(question)
    minhash = _EMPTY.copy()
    minhash.update_batch([trigram.encode() for trigram in _trigrams(text)])
    return Sketch(text, minhash)


def normalize(question: str) -> str:
    """The words of a question in lower case, one blank between them.

    >>> normalize("How many pets?  (All.)")
    'how many pets all'
    """
    return " ".join("".join(char if char.isalnum() else " " for char in question.casefold()).split())


def similarity(one: str, other: str) -> float:
    """The Jaccard index of the trigrams of two normalized questions.

    >>> similarity("how many pets", "how many pets"), similarity("ab", "abc")
    (1.0, 0.25)
    """
    left, right = _trigrams(one), _trigrams(other)
    return len(left & right) / len(left | right)


@lru_cache(maxsize=4096)
def _trigrams(text: str) -> frozenset[str]:
    padded = f" {text} "
    return frozenset(padded[start : start + 3] for start in range(max(1, len(padded) - 2)))
