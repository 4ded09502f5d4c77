"""Which rows of a file are asked for: by tag, by words in them. A search stops after a while and goes on when asked again."""

import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sense.serving.browsing.lines import R, Stamp, UnavailableError, View

_SECONDS = 1.0  # one request may search
_KEPT = 32  # searches whose matches are remembered
_LOOK = 64  # rows between two looks at the clock


def busy() -> UnavailableError:
    """Too many people look at data at once."""
    return UnavailableError("others look at the data just now", retry_after_s=2)


@dataclass(frozen=True)
class Wanted:
    """The rows `offset` to `offset + limit` of those with the tag (any if '') that say `search` (anything if '')."""

    offset: int
    limit: int
    tag: str
    search: str


@dataclass(frozen=True)
class Found:
    """Numbers of rows; `total` matches are known after `searched` of `rows` rows."""

    numbers: Sequence[int]
    total: int
    searched: int
    rows: int


@dataclass
class _State:
    """How far a search has come among `candidates`."""

    candidates: Sequence[int]
    matches: "array[int]" = field(default_factory=lambda: array("Q"))
    position: int = 0


class Searches:
    """The searches in one file, one at a time; those of a file that was replaced are forgotten as others come."""

    def __init__(self, patience_s: float) -> None:
        self._patience = patience_s
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Stamp, str, str], _State] = OrderedDict()

    def find(self, view: View[R], wanted: Wanted, texts: Callable[[R], Iterable[str]]) -> Found:
        """What is known of the rows wanted after at most a second; `texts` are what a row says. busy() if others search."""
        rows = range(len(view.index.starts))
        search = wanted.search.strip().casefold()
        end = wanted.offset + wanted.limit
        if not search:
            tagged = view.index.tagged(wanted.tag) if wanted.tag else rows
            return Found(tagged[wanted.offset : end], len(tagged), len(rows), len(rows))
        if not self._lock.acquire(timeout=self._patience):
            raise busy()
        try:
            state = self._state(view, wanted.tag, search)
            _go_on(state, view, search, texts)
            return Found(state.matches[wanted.offset : end], len(state.matches), state.position, len(state.candidates))
        finally:
            self._lock.release()

    def _state(self, view: View[R], tag: str, search: str) -> _State:
        key = (view.index.stamp, tag, search)
        if key not in self._kept:
            self._kept[key] = _State(view.index.tagged(tag) if tag else range(len(view.index.starts)))
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]


def _go_on(state: _State, view: View[R], search: str, texts: Callable[[R], Iterable[str]]) -> None:
    """Searches on from where `state` stands until the end or until time is up; always a little."""
    end = time.monotonic() + _SECONDS
    while state.position < len(state.candidates):
        for number in state.candidates[state.position : state.position + _LOOK]:
            if any(search in text.casefold() for text in texts(view.row(number))):
                state.matches.append(number)
            state.position += 1
        if time.monotonic() > end:
            return
