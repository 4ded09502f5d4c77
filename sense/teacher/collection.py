"""Examples out of drafts: what is asked of a teacher, in what order the answers count, and when there are enough or no more.

Drafts count in the order of their index, whichever process or thread has finished first, so that the result is the same
whatever their number. A draft that asks what an earlier one has asked is dropped here.

What an LLM is asked depends on the seed, the index and the answers to much earlier requests alone: not on how many examples are
wanted, on what became of the drafts, or on how many requests are in flight. So an answer serves every run that asks the same.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import repeat, takewhile
from queue import SimpleQueue

from sense.config import SynthesizeConfig
from sense.decontamination.compared_sets import ComparedRow
from sense.decontamination.screen import Screen
from sense.records import HARDNESS, Example, Hardness
from sense.sql.hardness import Band, complexity
from sense.suite import SuiteCounts
from sense.teacher import RejectedDraft
from sense.teacher.agreement import Disagreement
from sense.teacher.checks import CheckedDraft, CheckedUnit
from sense.teacher.drafts import CheckedAnswer, LoggedTeacher, normalize_domain, over_represented_domains
from sense.teacher.labels import Label
from sense.teacher.ledger import Tokens
from sense.teacher.openai import NO_ANSWER
from sense.teacher.quotas import Kind

MAX_REJECTED_DRAFTS = 20
"""Drafts in a row that cannot be kept before an LLM teacher counts as failing: so many at the start, and later so many times the
number of drafts that it has taken so far to get one example. By chance alone a teacher of whose drafts every second can be kept
gets there once in 10^6 times at the start, and later, whatever the share, once in 10^8 times. Where a request asks for several
drafts, which may fail together, it is so many requests.
"""
MAX_FAILED_REQUESTS = 10
"""Requests in a row that bring no answer before an LLM teacher counts as failing, as long as there is no example."""
MAX_LATER_FAILED_REQUESTS = 60
"""The same once there are examples, times the number of drafts that it has taken so far to get one. All tries of a draft count,
and an endpoint that fails at one draft in ten must not be given up where a few such drafts happen to follow one another.
"""
FIRST_LESSON = 256
"""Draft number `n` knows the domains of the first `m` answers, where `m` is the largest of FIRST_LESSON, twice that, four times
that and so on that is at most a quarter of `n`: three quarters may be on their way, so that a slow answer holds up no other.
"""
LOOKAHEAD = 64
"""Drafts that may be ahead of the first one without an answer, as a multiple of the requests in flight."""


@dataclass
class Collection:
    """The examples kept so far, and what became of the other drafts that were requested.

    `checked` counts the drafts whose fate is known, `rejected` are those of them since the last example, `dropped` counts all
    drafts not kept by reason, `domains` the examples by domain and `bands` by their band of complexity. `absent` counts the
    drafts for which an offline teacher has no answer; what they would have become nobody knows. `repairs` counts the drafts for
    which a teacher was asked once more, `repaired` those of them that became examples. `failed` tells whether so many
    drafts were rejected that the run ends. `labels` are those of all new drafts with a result, kept or not, by hardness; `suite`
    and `sizes` (bytes) are about the databases written. `disagreements` are the drafts whose gold the LLM's own answers did not
    confirm. `name` is the teacher's, the `source` of its examples; without one it is "grammar" or "llm".
    Of an LLM that is asked for several drafts at once, `per_request` is their number, `units` are the requests counted, `wishes`
    what was asked for in them, `units_kept` those that brought an example, and `barren` those since the last one; `unit_costs`
    says of each how many examples it brought, and the tokens of its answers.
    """

    config: SynthesizeConfig
    screen: Screen
    requested: int = 0
    checked: int = 0
    absent: int = 0
    repairs: int = 0
    repaired: int = 0
    examples: list[Example] = field(default_factory=list)
    rejected: list[RejectedDraft] = field(default_factory=list)
    failed: bool = False
    dropped: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    bands: Counter[Band] = field(default_factory=Counter)
    labels: list[tuple[Hardness, Label]] = field(default_factory=list)
    suite: SuiteCounts = field(default_factory=SuiteCounts)
    sizes: list[int] = field(default_factory=list)
    disagreements: list[Disagreement] = field(default_factory=list)
    name: str = ""
    per_request: int = 1
    units: int = 0
    units_kept: int = 0
    unit_costs: list[tuple[int, Sequence[Tokens | None]]] = field(default_factory=list)
    barren: int = 0
    wishes: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    _queries: set[tuple[str, str]] = field(default_factory=set)  # (db_id, fingerprint)
    _answered: Counter[str] = field(default_factory=Counter)  # drafts by domain, kept or not
    _lessons: dict[int, list[str]] = field(default_factory=lambda: {0: []})  # over-represented domains, by `checked`

    @property
    def source(self) -> str:
        """Who wrote the examples."""
        return self.name or self.config.teacher

    @property
    def missing(self) -> int:
        """How many more examples are wanted."""
        return self.config.count - len(self.examples) - self.absent

    @property
    def attempts_left(self) -> int:
        """How many more drafts may be requested."""
        return self.config.count * self.config.max_attempts - self.requested

    def add_database(self, unit: CheckedUnit) -> None:
        """Counts a database, whatever becomes of its drafts."""
        self.suite += unit.suite
        if unit.size:
            self.sizes.append(unit.size)

    def avoid(self, index: int) -> Sequence[str] | None:
        """The domains that draft number `index` is to avoid; None as long as too few drafts are checked to know them."""
        return self._lessons.get(_lesson(index))

    def add_unit(self, unit: CheckedUnit, advance: Callable[[], None]) -> int:
        """Counts a database and its drafts as far as they are needed; how many. `advance` is called for each example."""
        self.add_database(unit)
        before = self.requested
        for checked, repaired in zip(unit.drafts, unit.repaired or repeat(False), strict=False):
            if self.missing > 0 and not self.failed:
                self.requested += 1
                if self.add(checked, repaired):
                    advance()
        return self.requested - before

    def add_answer(self, answer: CheckedAnswer) -> bool:
        """Counts the next draft of an LLM, whose database is its own; True if it becomes an example."""
        if isinstance(answer.outcome, CheckedUnit):
            self.add_database(answer.outcome)
        if answer.domain:
            self._answered[normalize_domain(answer.domain)] += 1
        added = self.add(answer.draft, answer.repaired)
        if self.checked == _lesson(4 * self.checked) and not self.absent:  # else nobody knows yet what is to be learnt
            self._lessons[self.checked] = over_represented_domains(self._answered)
        return added

    def add(self, checked: CheckedDraft | RejectedDraft, repaired: bool = False) -> bool:
        """Counts the next draft, which was asked for once more if `repaired`; True if it becomes an example."""
        if isinstance(checked, RejectedDraft) and checked.reason == NO_ANSWER:
            self.absent += 1
            self.checked += 1
            return False
        outcome = self._judge(checked) if isinstance(checked, CheckedDraft) else checked
        if isinstance(outcome, RejectedDraft):
            self.dropped[outcome.reason] += 1
            self.rejected.append(outcome)
            if isinstance(outcome, Disagreement):
                self.disagreements.append(replace(outcome, source=self.source))
        else:
            self.examples.append(_example(self.source, self.checked, outcome))
            self.rejected.clear()
            self.domains[normalize_domain(outcome.draft.domain)] += 1
            self.bands[outcome.analysis.complexity.band] += 1
        self.checked += 1
        self.failed = self.fails()
        kept = not isinstance(outcome, RejectedDraft)
        self.repairs += repaired
        self.repaired += repaired and kept
        return kept

    def _judge(self, checked: CheckedDraft) -> CheckedDraft | RejectedDraft:
        """The draft itself, unless it asks what another asks, the screen refuses it, or its label lets wrong SQL through."""
        draft, fingerprint = checked.draft, checked.analysis.fingerprint
        if (draft.db_id, fingerprint) in self._queries:
            return RejectedDraft("duplicate SQL", draft.sql, draft.level)
        row = ComparedRow(id=_example_id(self.source, self.checked), db_id=draft.db_id, question=draft.question, sql=draft.sql)
        reason = self.screen.refuse(row)
        if reason is not None:
            return RejectedDraft(reason, draft.question, draft.level)
        self._queries.add((draft.db_id, fingerprint))
        self.labels.append((checked.analysis.hardness, checked.label))
        if self.config.suite > 0 and checked.label.alive:
            return RejectedDraft("wrong SQL gives its result", f"{draft.sql}; {checked.label.alive[0]}", draft.level)
        return checked

    def drop(self, reasons: Mapping[str, str]) -> None:
        """Takes out examples, of which each id has its reason, after all have been collected."""
        for example in self.examples:
            if example.id in reasons:
                self.dropped[reasons[example.id]] += 1
                self.domains[normalize_domain(example.domain)] -= 1
                self.bands[complexity(example.sql).band] -= 1
        self.examples = [example for example in self.examples if example.id not in reasons]

    def failed_requests(self) -> int:
        """Requests in a row, up to the last one, that brought no answer."""
        return _failed_requests(self.rejected) // self.per_request

    def fails(self, next_drafts: Sequence[RejectedDraft | None] = ()) -> bool:
        """Whether the teacher fails, judged by the drafts since the last example, if `next_drafts` follow them.

        None among these stands for one that becomes an example.
        """
        if self.config.teacher != "llm":
            return False
        kept = [number for number, draft in enumerate(next_drafts, 1) if draft is None]
        later = [draft for draft in next_drafts[kept[-1] if kept else 0 :] if draft is not None]
        rejected = later if kept else [*self.rejected, *later]
        examples = len(self.examples) + len(kept)
        scale = max(1.0, (self.checked + len(next_drafts) - len(rejected)) / max(1, examples))
        max_requests = MAX_LATER_FAILED_REQUESTS * scale if examples else MAX_FAILED_REQUESTS
        max_rejected = MAX_REJECTED_DRAFTS * scale * self.per_request
        return _failed_requests(rejected) // self.per_request >= max_requests or len(rejected) >= max_rejected


def collect_drafts(
    config: SynthesizeConfig,
    teacher: LoggedTeacher,
    screen: Screen,
    concurrency: int,
    advance: Callable[[], None],
    drafts: int | None = None,
    name: str = "",
) -> Collection:
    """Requests drafts until `config.count` examples are kept, the attempts are used up, or an LLM teacher fails.

    At most twice `concurrency` drafts are being written and checked at a time, and never more are requested than there are
    examples missing. `advance` is called for each example. `drafts` ends it after so many. `name` is the collection's.
    """
    collection = Collection(config, screen, name=name)
    pending: deque[Future[CheckedAnswer]] = deque()  # in order of their index
    finished: SimpleQueue[Future[CheckedAnswer]] = SimpleQueue()
    done: set[Future[CheckedAnswer]] = set()  # of those pending
    refused: dict[Future[CheckedAnswer], RejectedDraft] = {}  # of those done: not to be kept

    def may_be_the_end() -> bool:
        """Whether the teacher fails unless one that is on its way is kept."""
        return bool(refused) and collection.fails([refused.get(future) for future in pending if future in done])

    while True:
        while (
            min(collection.attempts_left, collection.missing - len(pending) + len(refused)) > 0
            and len(pending) - len(done) < 2 * concurrency
            and len(pending) < LOOKAHEAD * concurrency
            and not may_be_the_end()
            and collection.requested != drafts
        ):
            index = collection.requested
            avoid = collection.avoid(index)
            if avoid is None:
                break
            future = teacher.request_draft(index, draw_level(config, index), avoid)
            pending.append(future)
            future.add_done_callback(finished.put)
            collection.requested += 1
        if not pending:
            return collection
        done.add(future := finished.get())
        if (draft := _refused(future.result())) is not None:
            refused[future] = draft
        while pending and pending[0] in done:
            done.remove(future := pending.popleft())
            refused.pop(future, None)
            if collection.add_answer(future.result()):
                advance()
            if collection.failed:
                return collection


def _refused(answer: CheckedAnswer) -> RejectedDraft | None:
    """The draft, if it is known already, before its turn, that it is not kept."""
    return answer.draft if isinstance(answer.draft, RejectedDraft) and answer.draft.reason != NO_ANSWER else None


def collect_units(
    config: SynthesizeConfig,
    write: Callable[[int, Sequence[Hardness]], Future[CheckedUnit]],
    window: int,
    screen: Screen,
    advance: Callable[[], None],
    units: int | None = None,
    name: str = "",
) -> Collection:
    """Has databases written until `config.count` examples are kept, the attempts are used up, or an LLM teacher fails.

    `write` begins to write a database with drafts of these levels; at most `window` of them are being written at a time, and what
    is not needed in the end is not counted. `advance` is called for each example. `units` ends it after so many. `name` is the
    collection's.
    """
    collection = Collection(config, screen, name=name)
    pending: deque[Future[CheckedUnit]] = deque()
    size, attempts, number = config.grammar.per_database, collection.attempts_left, 0
    while collection.missing > 0:
        while number * size < attempts and number != units and len(pending) < min(window, -(-collection.missing // size)):
            indices = range(number * size, min((number + 1) * size, attempts))
            pending.append(write(number, [draw_level(config, index) for index in indices]))
            number += 1
        if not pending:
            break
        collection.add_unit(pending.popleft().result(), advance)
        if collection.failed:
            break
    for future in pending:
        future.cancel()
    return collection


def _failed_requests(rejected: Sequence[RejectedDraft]) -> int:
    """How often the last drafts in a row without an answer were requested."""
    return sum(draft.failed_requests for draft in takewhile(lambda draft: draft.failed_requests > 0, reversed(rejected)))


def _lesson(index: int) -> int:
    """How many of the first answers draft number `index` learns from."""
    size = FIRST_LESSON
    if index < 4 * size:
        return 0
    while 8 * size <= index:
        size *= 2
    return size


def draw_level(config: SynthesizeConfig, index: int) -> Hardness:
    """The hardness to ask draft number `index` for, drawn by the weights of `config.levels`."""
    weights = [config.levels.get(level, 0.0) for level in HARDNESS]
    return random.Random(f"{config.seed}-level-{index}").choices(HARDNESS, weights)[0]


def _example_id(source: str, index: int) -> str:
    return f"{source}-{index:06d}"


def _example(source: str, index: int, checked: CheckedDraft) -> Example:
    """The draft as an example: `hardness` and `complexity` are measured on the SQL, `level` is what the teacher was asked for."""
    draft = checked.draft
    return Example.model_validate(
        {
            "id": _example_id(source, index),
            "db_id": draft.db_id,
            "question": draft.question,
            "sql": draft.sql,
            "source": source,
            "hardness": checked.analysis.hardness,
            "evidence": draft.evidence,
            "domain": draft.domain,
            "level": draft.level,
            "complexity": checked.analysis.complexity.band,
        }
        | ({"style": draft.style} if draft.style else {})
    )
