"""Strong data: a teacher writes database, question and SQL; all of it is built and executed; what fails is counted by reason."""

import random
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sense import console, records, schema
from sense.config import SplitConfig, SynthesizeConfig, api_key
from sense.errors import UserError
from sense.records import HARDNESS, Example, Hardness
from sense.sql.execute import Executor
from sense.sql.hardness import BANDS, complexity, hardness
from sense.teacher import Draft, Refusal, Teacher
from sense.teacher.drafts import Drafts, Shelf, domain_key, over_represented
from sense.teacher.grammar.teacher import GrammarTeacher
from sense.teacher.llm import LlmTeacher

Config = SynthesizeConfig

SPLITS = ("strong", "unseen", "heldout")


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
    """Writes the three datasets; EndpointError if the teacher's endpoint fails, UserError if nothing was kept."""
    return make(config, _teacher(config, inputs.seed), outputs)


def make(config: SynthesizeConfig, teacher: Teacher, outputs: Outputs) -> dict[str, Any]:
    """Writes what `teacher` drafts, checked and split; resumes from the answers that a killed try has logged."""
    work = outputs.metrics.parent
    for leftover in (work / "built", outputs.strong, outputs.unseen, outputs.heldout):  # of a killed try
        records.remove(leftover)
    workers = config.llm.concurrency if config.teacher == "llm" and config.llm else 1
    with Drafts(teacher, work / "drafts.jsonl", workers) as drafts, Executor(config.execution) as executor:
        tally = collect(config, drafts, Shelf(work / "built", executor), 2 * workers)
    if not tally.kept:
        raise UserError(_nothing(config, tally))
    if len(tally.kept) < config.count:
        console.say(f"kept {len(tally.kept)} of the {config.count} wanted: {tally.asked} asked, synthesize.max_attempts used up")
    sides = by_database(Counter(example.db_id for example in tally.kept), config.split, config.seed)
    folders = {name: getattr(outputs, name) for name in SPLITS}
    for name, folder in folders.items():
        _write([example for example in tally.kept if sides[example.db_id] == name], work / "built", folder)
    return _metrics(config, tally, sides)


@dataclass
class Tally:
    """What became of the drafts so far; `first` is the first detail of each reason to drop one."""

    asked: int = 0
    kept: list[Example] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)


def collect(config: SynthesizeConfig, drafts: Drafts, shelf: Shelf, window: int) -> Tally:
    """Asks until `config.count` examples are kept or the attempts are used up.

    At most `window` answers are awaited, and never more than are wanted. What is asked next depends on the answers taken
    in order of their index, so the result does not depend on which of them arrives first.
    """
    tally = Tally()
    awaited: deque[Future[Draft | Refusal]] = deque()
    attempts = config.count * config.max_attempts
    with console.bar("strong data", config.count) as bar:
        while True:
            while tally.asked < attempts and len(awaited) < min(window, config.count - len(tally.kept)):
                awaited.append(drafts.ask(tally.asked, _level(config, tally.asked), over_represented(tally.domains)))
                tally.asked += 1
            if not awaited:
                return tally
            index = tally.asked - len(awaited)
            answer = awaited.popleft().result()
            checked = shelf.check(answer) if isinstance(answer, Draft) else answer
            if isinstance(checked, Refusal):
                tally.dropped[checked.reason] += 1
                tally.first.setdefault(checked.reason, checked.detail)
            else:
                tally.kept.append(_example(config.teacher, index, checked))
                tally.domains[domain_key(checked.domain)] += 1
                bar.advance()


def by_database(sizes: Mapping[str, int], split: SplitConfig, seed: int) -> dict[str, str]:
    """The split of each database: drawn with `seed` until a split's share of the examples is reached.

    `sizes` is the number of examples on each. Every split with a share above 0 gets a database; UserError if there are
    too few for that.
    """
    names = sorted(sizes)
    random.Random(f"{seed}-split").shuffle(names)
    shares = [(name, share) for name, share in (("unseen", split.unseen), ("heldout", split.heldout)) if share > 0]
    if len(names) <= len(shares):
        raise UserError(
            f"{len(names)} database(s) cannot be split into {len(shares) + 1} sets; raise synthesize.count, lower "
            "synthesize.grammar.per_database, or set a share of synthesize.split to 0"
        )
    sides = {}
    for later, (side, share) in zip(range(len(shares), 0, -1), shares, strict=True):
        taken = 0
        while len(names) > later and (taken == 0 or taken < share * sum(sizes.values())):
            sides[names[-1]] = side
            taken += sizes[names.pop()]
    return sides | dict.fromkeys(names, "strong")


def _level(config: SynthesizeConfig, index: int) -> Hardness:
    """The hardness to ask for, drawn by the weights of `levels`."""
    weights = [config.levels.get(level, 0.0) for level in HARDNESS]
    return random.Random(f"{config.seed}-level-{index}").choices(HARDNESS, weights)[0]


def _teacher(config: SynthesizeConfig, seed: Path) -> Teacher:
    if config.teacher == "grammar" or config.llm is None:
        return GrammarTeacher(config.grammar, config.seed)
    examples = records.read_dataset(seed)
    shown = {}
    for db_id in sorted({example.db_id for example in examples}):
        shown[db_id] = schema.render(schema.introspect(records.database_path(seed, db_id), samples=3), "ddl")
    return LlmTeacher(config.llm, config.seed, [(example, shown[example.db_id]) for example in examples], api_key())


def _example(teacher: str, index: int, draft: Draft) -> Example:
    """The kept example: `hardness` is measured on the SQL, `level` is what was asked for."""
    return Example.model_validate(
        {
            "id": f"{teacher}-{index:06d}",
            "db_id": draft.db_id,
            "question": draft.question,
            "sql": draft.sql,
            "source": teacher,
            "hardness": hardness(draft.sql),
            "domain": draft.domain,
            "level": draft.level,
        }
    )


def _write(examples: Sequence[Example], built: Path, dataset: Path) -> None:
    (dataset / "databases").mkdir(parents=True)
    for db_id in sorted({example.db_id for example in examples}):
        (built / db_id).replace(dataset / "databases" / db_id)
    records.write_jsonl(dataset / "examples.jsonl", examples)


def _nothing(config: SynthesizeConfig, tally: Tally) -> str:
    top = [f"  {count} {reason}, first: {tally.first[reason][:200]}" for reason, count in tally.dropped.most_common(5)]
    fix = "try another synthesize.llm.model" if config.teacher == "llm" else "raise synthesize.grammar.rows"
    return "\n".join([f"none of the {tally.asked} drafts of the {config.teacher} teacher could be kept; {fix}", *top])


def _metrics(config: SynthesizeConfig, tally: Tally, sides: Mapping[str, str]) -> dict[str, Any]:
    measured = Counter(example.hardness for example in tally.kept)
    bands = Counter(complexity(example.sql).band for example in tally.kept)
    asked = Counter(str(getattr(example, "level")) for example in tally.kept)  # noqa: B009  (a field of these rows alone)
    splits = Counter(sides[example.db_id] for example in tally.kept)
    return {
        "teacher": config.teacher,
        "wanted": config.count,
        "funnel": {"asked": tally.asked, "kept": len(tally.kept), "dropped": dict(sorted(tally.dropped.items()))},
        "hardness": {level: measured[level] for level in HARDNESS},
        "asked_hardness": {level: asked[level] for level in HARDNESS},
        "complexity": {band: bands[band] for band in BANDS},
        "domains": _commonest(tally.domains),
        "databases": len(sides),
        "splits": {name: splits[name] for name in SPLITS},
    }


def _commonest(domains: Mapping[str, int], limit: int = 50) -> dict[str, int]:
    """The `limit` commonest domains with their counts, the rest of them summed up: a model names thousands."""
    ranked = sorted(domains.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ranked[limit:])
    return dict(ranked[:limit]) | ({"(others)": rest} if rest else {})
