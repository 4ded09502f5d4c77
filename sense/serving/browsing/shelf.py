"""The files of a data folder as they are shown: strong data, samples and pairs, joined to their questions."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from sense.config.serving import LimitsConfig
from sense.errors import UserError
from sense.records import Example, Pair, Sample
from sense.serving.browsing.lines import Lines, R, View
from sense.serving.browsing.opened import Runner, opened
from sense.serving.browsing.rows import BadLine, Listing, Opened, PairRow, SampleRow, StrongRow
from sense.serving.browsing.search import Searches, Wanted
from sense.serving.messages import Message

Row = TypeVar("Row", bound=Message)
Questions = Callable[[str], Example | None]


class UnknownPairError(UserError):
    """There is no pair of that id: 404."""


class Shelf:
    """The folder `data` of the pipeline. Everything here blocks: call it in threads."""

    def __init__(self, data: Path, limits: LimitsConfig) -> None:
        self._rows = limits.rows
        self._runner = Runner(limits)
        self._unseen = data / "unseen"
        self._examples = Lines(data, "unseen/examples.jsonl", Example, lambda row: row.id, lambda row: row.hardness)
        self._strong = Lines(data, "strong/examples.jsonl", Example, lambda row: row.id, lambda row: row.hardness)
        self._samples = Lines(data, "weak/samples.jsonl", Sample, lambda row: row.example_id, lambda row: row.verdict)
        self._pairs = Lines(data, "pairs/pairs.jsonl", Pair, lambda row: row.id, lambda row: row.error)
        self._searches = {lines.name: Searches(limits.queue_s) for lines in (self._strong, self._samples, self._pairs)}

    def close(self) -> None:
        """Ends the processes that execute SQL."""
        self._runner.close()

    def strong(self, wanted: Wanted) -> Listing[StrongRow]:
        """Strong data by hardness."""
        return self._listing(self._strong, "synthesize", wanted, _said, _strong_row)

    def samples(self, wanted: Wanted) -> Listing[SampleRow]:
        """The weak model's samples by verdict."""
        with self._questions() as question:
            return self._listing(
                self._samples,
                "sample",
                wanted,
                lambda row: (row.sql, *_said(question(row.example_id))),
                lambda row: _sample_row(row, question(row.example_id)),
            )

    def pairs(self, wanted: Wanted) -> Listing[PairRow]:
        """Pairs by the verdict on the rejected SQL."""
        with self._questions() as question:
            return self._listing(
                self._pairs,
                "prefer",
                wanted,
                lambda row: (row.chosen, row.rejected, *_said(question(row.example_id))),
                lambda row: _pair_row(row, question(row.example_id)),
            )

    def pair(self, key: str) -> Opened:
        """One pair with both SQL executed; UnknownPairError."""
        with ExitStack() as files:
            try:
                found = files.enter_context(self._pairs.open()).find(key)
            except FileNotFoundError:
                found = []
            if not found:
                raise UnknownPairError(f"{self._pairs.name}: no pair {key!r}; GET /v1/data/pairs lists them")
            pair = found[0]
            example = files.enter_context(self._questions())(pair.example_id)
            samples = self._samples_of(pair.example_id)
        sample = next((sample for sample in samples if sample.sql == pair.rejected and sample.verdict == pair.error), None)
        return opened(self._unseen, pair, example, sample, self._runner, self._rows)

    def _samples_of(self, example_id: str) -> list[Sample]:
        try:
            with self._samples.open() as view:
                return view.find(example_id)
        except FileNotFoundError:
            return []

    @contextmanager
    def _questions(self) -> Iterator[Questions]:
        """The unseen examples by id; the last one is kept, as a question's rows stand together."""
        with ExitStack() as files:
            try:
                view = files.enter_context(self._examples.open())
            except FileNotFoundError:
                yield lambda _: None
                return
            last: list[Example] = []

            def question(key: str) -> Example | None:
                if not last or last[0].id != key:
                    last[:] = view.find(key)[:1]
                return last[0] if last else None

            yield question

    def _listing(
        self,
        lines: Lines[R],
        writer: str,
        wanted: Wanted,
        texts: Callable[[R], Iterable[str]],
        row: Callable[[R], Row],
    ) -> Listing[Row]:
        """A page of a file; an empty one that says what writes the file, if it is not there."""
        try:
            with lines.open() as view:
                return self._page(view, wanted, texts, row)
        except FileNotFoundError:
            missing = f"{lines.name} is not there yet; the stage {writer} writes it"
            return Listing(items=[], offset=0, total=0, searched=0, rows=0, counts={}, file=lines.name, missing=missing)

    def _page(self, view: View[R], wanted: Wanted, texts: Callable[[R], Iterable[str]], row: Callable[[R], Row]) -> Listing[Row]:
        found = self._searches[view.name].find(view, wanted, texts)
        return Listing(
            items=[row(view.row(number)) for number in found.numbers],
            offset=wanted.offset,
            total=found.total,
            searched=found.searched,
            rows=found.rows,
            counts=view.index.counts(),
            file=view.name,
            bad=[BadLine(file=view.name, line=bad.line, message=bad.message) for bad in view.index.bad],
            bad_count=view.index.bad_count,
        )


def _said(example: Example | None) -> tuple[str, ...]:
    """What of an example is searched."""
    return (example.id, example.question, example.db_id, example.sql) if example else ()


def _strong_row(row: Example) -> StrongRow:
    return StrongRow(
        id=row.id,
        database=row.db_id,
        question=row.question,
        evidence=row.evidence,
        sql=row.sql,
        hardness=row.hardness,
        domain=row.domain,
        source=row.source,
    )


def _sample_row(row: Sample, example: Example | None) -> SampleRow:
    return SampleRow(
        id=row.id,
        example_id=row.example_id,
        database=example.db_id if example else "",
        question=example.question if example else "",
        gold=example.sql if example else "",
        sql=row.sql,
        correct=row.correct,
        verdict=row.verdict,
        kind=row.kind,
        detail=row.detail,
        vacuous=row.vacuous,
    )


def _pair_row(row: Pair, example: Example | None) -> PairRow:
    return PairRow(
        id=row.id,
        example_id=row.example_id,
        database=example.db_id if example else "",
        question=example.question if example else "",
        chosen=row.chosen,
        rejected=row.rejected,
        verdict=row.error,
    )
