"""Strong data: a teacher writes databases, questions and SQL; what cannot be built and executed is dropped and counted."""

import random
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from sense import console, records
from sense.config import SynthesizeConfig, api_key
from sense.errors import EndpointError, UserError
from sense.manifest import write_manifest
from sense.records import HARDNESS, Example, Hardness
from sense.schema import introspect, schema_text
from sense.sql.execute import Executor
from sense.sql.hardness import BANDS, complexity, hardness
from sense.stages import code_dependencies
from sense.teacher import Draft, RejectedDraft, Teacher
from sense.teacher.drafts import DraftChecker, LoggedTeacher, forget_rejected, normalize_domain, over_represented_domains
from sense.teacher.grammar.teacher import GrammarTeacher, planned_heldout_domains
from sense.teacher.llm import LlmTeacher
from sense.teacher.splits import SPLITS, split_databases

Config = SynthesizeConfig

WITHOUT_EFFECT = {"llm": {"timeout_s": True, "retries": True}}
"""Keys that may change between a run that broke off and the next one, which still finds its drafts."""
_NOT_IN_MANIFEST = {"llm": WITHOUT_EFFECT["llm"] | {"base_url": True}, "execution": {"workers": True}}
"""Keys that change nothing, and the endpoint's address."""

MAX_REJECTED_DRAFTS = 20
"""Drafts in a row that cannot be kept before an LLM teacher counts as failing: so many at the start, and later so many times the
number of drafts that it has taken so far to get one example. By chance alone a teacher of whose drafts every second can be kept
gets there once in 10^6 times at the start, and later, whatever the share, once in 10^8 times.
"""
MAX_FAILED_REQUESTS = 10
"""Requests in a row that bring no answer before an LLM teacher counts as failing, as long as there is no example."""
MAX_LATER_FAILED_REQUESTS = 60
"""The same once there are examples, times the number of drafts that it has taken so far to get one. All tries of a draft count,
and an endpoint that fails at one draft in ten must not be given up where a few such drafts happen to follow one another.
"""


@dataclass(frozen=True)
class Inputs:
    """The seed dataset: the LLM teacher's demonstrations are drawn from it."""

    seed: Path


@dataclass(frozen=True)
class Outputs:
    """Three dataset folders that share no database: for SFT, for weak sampling, for evaluation."""

    strong: Path
    unseen: Path
    heldout: Path
    metrics: Path


def run(config: SynthesizeConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Writes the three datasets; EndpointError if the teacher's endpoint fails, UserError if no draft can be kept."""
    heldout_domains = planned_heldout_domains(config.split, config.seed) if config.teacher == "grammar" else frozenset()
    return write_datasets(config, _make_teacher(config, inputs.seed), outputs, heldout_domains)


def write_datasets(
    config: SynthesizeConfig, teacher: Teacher, outputs: Outputs, heldout_domains: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Writes the drafts of `teacher` that pass the checks as three datasets; returns the metrics.

    `heldout_domains` are those that the teacher has laid out for heldout; without them they are drawn.
    Drafts that an earlier, killed run of the stage has logged are not asked for again.
    """
    work = outputs.metrics.parent
    built = work / "built"
    for leftover in (built, outputs.strong, outputs.unseen, outputs.heldout):  # of a killed run
        records.remove(leftover)
    workers = config.llm.concurrency if config.teacher == "llm" and config.llm else 1
    log = work / "drafts.jsonl"
    with LoggedTeacher(teacher, log, workers) as logged_teacher, Executor(config.execution) as executor:
        collection = collect_examples(config, logged_teacher, DraftChecker(built, executor), 2 * workers)
    examples = collection.examples
    if collection.failed or not examples:
        forget_rejected(log, range(collection.checked - len(collection.rejected), collection.checked))
        raise _nothing_kept_error(config, collection)
    if len(examples) < config.count:
        console.say(
            f"kept {len(examples)} of the {config.count} wanted: {collection.requested} asked, synthesize.max_attempts used up"
        )
    domains = {example.db_id: normalize_domain(example.domain) for example in examples}
    example_counts = Counter(example.db_id for example in examples)
    splits = split_databases(example_counts, domains, config.split, config.seed, heldout_domains)
    section = config.model_dump(mode="json", exclude=_NOT_IN_MANIFEST)
    revision = code_dependencies.revision("synthesize")
    for split in SPLITS:
        dataset = getattr(outputs, split)
        _write_dataset([example for example in examples if splits[example.db_id] == split], built, dataset)
        write_manifest(dataset, stage="synthesize", section=section, revision=revision)
    return _metrics(config, collection, splits)


@dataclass
class Collection:
    """The examples kept so far, and what became of the other drafts that were requested.

    `checked` counts the drafts whose fate is known, `rejected` are those of them since the last example, `failed` tells whether
    they are so many that the run ends, `dropped` counts all drafts not kept by reason, and `domains` the examples by domain.
    """

    requested: int = 0
    checked: int = 0
    examples: list[Example] = field(default_factory=list)
    rejected: list[RejectedDraft] = field(default_factory=list)
    failed: bool = False
    dropped: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)

    def failed_requests(self) -> int:
        """Requests in a row, up to the last one, that brought no answer."""
        return sum(draft.failed_requests for draft in takewhile(lambda draft: draft.failed_requests > 0, reversed(self.rejected)))

    def fails(self) -> bool:
        """Whether the teacher fails, judged by the drafts since the last example."""
        until_then = self.checked - len(self.rejected)
        scale = max(1.0, until_then / max(1, len(self.examples)))
        max_requests = MAX_LATER_FAILED_REQUESTS * scale if self.examples else MAX_FAILED_REQUESTS
        return self.failed_requests() >= max_requests or len(self.rejected) >= MAX_REJECTED_DRAFTS * scale


def collect_examples(config: SynthesizeConfig, teacher: LoggedTeacher, checker: DraftChecker, window: int) -> Collection:
    """Requests drafts until `config.count` examples are kept, the attempts are used up, or an LLM teacher fails.

    At most `window` drafts are pending, and never more than there are examples missing. What is requested next depends on the
    drafts before it in order of their index, so the result does not depend on which of them arrives first.
    """
    collection = Collection()
    pending: deque[Future[Draft | RejectedDraft]] = deque()
    attempts = config.count * config.max_attempts
    with console.bar("strong data", config.count) as bar:
        while True:
            while collection.requested < attempts and len(pending) < min(window, config.count - len(collection.examples)):
                index = collection.requested
                avoid = over_represented_domains(collection.domains)
                pending.append(teacher.request_draft(index, _draw_level(config, index), avoid))
                collection.requested += 1
            if not pending or collection.failed:
                return collection
            draft = pending.popleft().result()
            checked = checker.check(draft) if isinstance(draft, Draft) else draft
            if isinstance(checked, RejectedDraft):
                collection.dropped[checked.reason] += 1
                collection.rejected.append(checked)
            else:
                collection.examples.append(_example(config.teacher, collection.checked, checked))
                collection.rejected.clear()
                collection.domains[normalize_domain(checked.domain)] += 1
                bar.advance()
            collection.checked += 1
            collection.failed = config.teacher == "llm" and collection.fails()


def _draw_level(config: SynthesizeConfig, index: int) -> Hardness:
    """The hardness to ask draft number `index` for, drawn by the weights of `config.levels`."""
    weights = [config.levels.get(level, 0.0) for level in HARDNESS]
    return random.Random(f"{config.seed}-level-{index}").choices(HARDNESS, weights)[0]


def _make_teacher(config: SynthesizeConfig, seed: Path) -> Teacher:
    if config.teacher == "grammar" or config.llm is None:
        return GrammarTeacher(config.grammar, config.seed, config.split)
    examples = records.read_dataset(seed)
    schemas = {}
    for db_id in sorted({example.db_id for example in examples}):
        schemas[db_id] = schema_text(introspect(records.database_path(seed, db_id), samples=3), "ddl")
    demonstrations = [(example, schemas[example.db_id]) for example in examples]
    return LlmTeacher(config.llm, config.seed, demonstrations, api_key(), say=console.say)


def _example(teacher: str, index: int, draft: Draft) -> Example:
    """The draft as an example: `hardness` is measured on the SQL, `level` is what the teacher was asked for."""
    return Example.model_validate(
        {
            "id": f"{teacher}-{index:06d}",
            "db_id": draft.db_id,
            "question": draft.question,
            "sql": draft.sql,
            "source": teacher,
            "hardness": hardness(draft.sql),
            "evidence": draft.evidence,
            "domain": draft.domain,
            "level": draft.level,
        }
    )


def _write_dataset(examples: Sequence[Example], built: Path, dataset: Path) -> None:
    """Writes one dataset folder, moving its databases there from `built`."""
    (dataset / "databases").mkdir(parents=True)
    for db_id in sorted({example.db_id for example in examples}):
        (built / db_id).replace(dataset / "databases" / db_id)
    records.write_jsonl(dataset / "examples.jsonl", examples)


def _nothing_kept_error(config: SynthesizeConfig, collection: Collection) -> UserError:
    """Why the run ends: no draft since the last example could be kept."""
    rejected, requests = collection.rejected, collection.failed_requests()
    counts = Counter(draft.reason for draft in rejected)
    details = {draft.reason: draft.detail for draft in reversed(rejected)}
    reasons = [f"  {count} {reason}, first: {details[reason][:600]}" for reason, count in counts.most_common(5)]
    drafts = f"none of the last {len(rejected)} drafts" if collection.examples else f"none of the {len(rejected)} drafts"
    problem = f"{drafts} of the {config.teacher} teacher could be kept"
    if config.teacher == "grammar":
        return UserError("\n".join([f"{problem}; raise synthesize.grammar.rows", *reasons]))
    again = "the next run of the same section asks for these drafts again and keeps all others"
    if requests:
        kind = "request" if requests == 1 else "requests in a row"
        return EndpointError("\n".join([f"{problem}: {requests} {kind} brought no answer; {again}", *reasons]))
    return UserError("\n".join([f"{problem}; try another synthesize.llm.model: {again}", *reasons]))


def _metrics(config: SynthesizeConfig, collection: Collection, splits: Mapping[str, str]) -> dict[str, Any]:
    examples = collection.examples
    hardness_counts = Counter(example.hardness for example in examples)
    level_counts = Counter(str(getattr(example, "level")) for example in examples)  # noqa: B009  (only strong data has the field)
    band_counts = Counter(complexity(example.sql).band for example in examples)
    split_counts = Counter(splits[example.db_id] for example in examples)
    return {
        "teacher": config.teacher,
        "wanted": config.count,
        "funnel": {
            "asked": collection.requested,
            "kept": len(examples),
            "dropped": dict(sorted(collection.dropped.items())),
        },
        "hardness": {level: hardness_counts[level] for level in HARDNESS},
        "asked_hardness": {level: level_counts[level] for level in HARDNESS},
        "complexity": {band: band_counts[band] for band in BANDS},
        "domains": _most_common_domains(collection.domains),
        "databases": len(splits),
        "splits": {split: split_counts[split] for split in SPLITS},
    }


def _most_common_domains(counts: Mapping[str, int], limit: int = 50) -> dict[str, int]:
    """The `limit` most common domains with their counts, and the sum of the others: an LLM invents thousands of domains."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ranked[limit:])
    return dict(ranked[:limit]) | ({"(others)": rest} if rest else {})
