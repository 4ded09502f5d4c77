"""Strong data: a teacher writes databases, questions and SQL; what cannot be built and executed is dropped and counted."""

import argparse
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sense import console, records
from sense.config import SynthesizeConfig
from sense.decontamination.compared_sets import ComparedSet, of_examples, read_dataset, read_set
from sense.decontamination.comparison import Comparison, Overlap, find_overlaps, trivial_sql
from sense.decontamination.report import Report, make_report, write_report
from sense.decontamination.screen import Screen
from sense.errors import UserError
from sense.manifest import SQL_SKELETON, FalseRight, false_right, write_manifest
from sense.records import HARDNESS, Example, Hardness
from sense.sql.hardness import BANDS
from sense.sql.hardness import hardness as sql_hardness
from sense.stages import code_dependencies
from sense.teacher import dry_runs, mixture, runs
from sense.teacher.agreement import Disagreement
from sense.teacher.collection import Collection
from sense.teacher.drafts import normalize_domain
from sense.teacher.grammar.own.teacher import OwnPlan
from sense.teacher.grammar.teacher import planned_heldout_domains
from sense.teacher.mixture import Part
from sense.teacher.quotas import asked_and_kept
from sense.teacher.runs import Work
from sense.teacher.splits import SPLITS, planned_splits, split_databases
from sense.teacher.votes import AMBIGUOUS, HARD

Config = SynthesizeConfig

HELD_OUT_BY = SQL_SKELETON
"""What strong, unseen and heldout do not have in common on one's own databases: queries that differ in values alone."""
DISAGREEMENTS = "disagreements"
"""The folder, within that of strong, of the drafts that the LLM's own answers did not confirm."""
_LLM_WITHOUT_EFFECT = ("concurrency", "timeout_s", "retries", "answers", "offline", "mode", "batch_requests", "batch_least")
_MONEY = ("prompt_price", "completion_price", "cached_price", "batch_price_share", "budget")
_OF_LLM = dict.fromkeys((*_LLM_WITHOUT_EFFECT, *_MONEY), True)
WITHOUT_EFFECT: dict[str, Any] = {"llm": _OF_LLM, "teachers": {"__all__": {"llm": _OF_LLM}}, "execution": {"workers": True}}
"""Keys that may change between a run that broke off and the next one, which goes on with it."""
_OF_LLM_AND_ADDRESS = _OF_LLM | {"base_url": True}
_NOT_IN_MANIFEST = WITHOUT_EFFECT | {"llm": _OF_LLM_AND_ADDRESS, "teachers": {"__all__": {"llm": _OF_LLM_AND_ADDRESS}}}
"""Keys that change nothing, and the endpoint's address."""


@dataclass(frozen=True)
class Inputs:
    """The human-written datasets: the LLM teacher's demonstrations are drawn from `seed`, and no draft may be in either."""

    seed: Path
    dev: Path


@dataclass(frozen=True)
class Outputs:
    """Three dataset folders that share no database: for SFT, for weak sampling, for evaluation.

    With `config.own` they have copies of the same databases, and share no skeleton of SQL.

    `decontamination` is the report on what was compared: the training data (these and `seed`) with heldout, dev and the sets of
    `config.decontaminate`.
    """

    strong: Path
    unseen: Path
    heldout: Path
    decontamination: Path
    metrics: Path


def further_paths(config: SynthesizeConfig) -> dict[str, Path]:
    """What the section names that is read beside the inputs."""
    return {f"own.{number}": Path(folder) for number, folder in enumerate(config.own)}


def run(config: SynthesizeConfig, inputs: Inputs, outputs: Outputs) -> dict[str, Any]:
    """Writes the three datasets; EndpointError if a teacher's endpoint fails, UserError if no draft can be kept."""
    config = _with_databases(config, inputs)
    planned = frozenset[str]()
    if not config.own and not all(part.writes_domains for part in mixture.parts(config)):
        planned = planned_heldout_domains(config.split, config.seed)
    return write(config, read_human_sets(config, inputs), outputs, partial(runs.write_part, seeds=inputs.seed), planned)


def _with_databases(config: SynthesizeConfig, inputs: Inputs) -> SynthesizeConfig:
    """The configuration with the folder of dev as one's own, if that is what the teachers write on; `own` goes before it."""
    if config.own:
        return config.model_copy(update={"databases": "invented"})
    return config.model_copy(update={"own": [str(inputs.dev)]}) if config.databases == "dev" else config


def write(
    config: SynthesizeConfig,
    human_sets: "HumanSets",
    outputs: Outputs,
    write_part: Callable[[Part, Work, Screen, Callable[[], None]], Collection],
    heldout_domains: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Writes what each teacher has written as three datasets; returns the metrics.

    `write_part` has one teacher write. `heldout_domains` are those that teachers lay out for heldout; without them, domains of
    heldout are drawn. UserError names the teacher of whose drafts none can be kept.
    """
    parts = mixture.parts(config)
    work = Work(_clear(outputs), outputs.metrics.parent, console.say, [])
    screen = human_sets.screen(work.built)
    collections: dict[str, Collection] = {}
    with console.bar("strong data", config.count) as bar:
        for part in parts:
            collections[part.name] = collection = write_part(part, work, screen, bar.advance)
            if collection.failed or not collection.examples:
                raise runs.nothing_kept_error(part, collection)
            screen = collection.screen
    return _write_datasets(config, collections, parts, human_sets, work.built, outputs, heldout_domains)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds what one run with an LLM may do otherwise than params.yaml says; none of it changes the result."""
    parser.add_argument("--offline", action="store_true", help="ask the LLM nothing: take answers that are there, or end")
    parser.add_argument("--budget", type=float, metavar="MONEY", help="end before the LLM's answers cost more than this")
    parser.add_argument(
        "--dry-run",
        type=int,
        nargs="?",
        const=10,
        metavar="N",
        help="print a prompt, ask for N answers (10) and estimate what the run will cost; write no data",
    )


def apply_flags(section: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The section as the flags want it; UserError if they are about an LLM that is not asked."""
    changes: dict[str, Any] = {"offline": True} if options.offline else {}
    if options.budget is not None:
        changes["budget"] = options.budget
    if not changes and options.dry_run is None:
        return dict(section)
    teachers = section.get("teachers") or {}
    if section["teacher"] != "llm" and not any(teacher.get("llm") for teacher in teachers.values()):
        raise UserError("--offline, --budget and --dry-run are about an LLM's answers; set synthesize.teacher to llm")
    if not teachers:
        return {**section, "llm": {**section["llm"], **changes}}
    if options.budget is not None:
        raise UserError("--budget is for one LLM; of several, set synthesize.teachers.NAME.llm.budget for each")
    with_changes = {
        name: {**teacher, "llm": {**teacher["llm"], **changes}} if teacher.get("llm") else teacher
        for name, teacher in teachers.items()
    }
    return {**section, "teachers": with_changes}


def dry_run(config: SynthesizeConfig, inputs: Inputs, probe: int) -> str:
    """The first prompt of each LLM, and what the whole run is going to cost by the answers to its first `probe` requests.

    These answers are kept. Without a probe of two there is no estimate. Raises what a run raises.
    """
    config = _with_databases(config, inputs)
    human_sets = read_human_sets(config, inputs)
    return dry_runs.dry_run(config, inputs.seed, human_sets.screen, console.say, probe)


@dataclass(frozen=True)
class HumanSets:
    """The sets that drafts are compared with: `seed` is trained on, the others are for evaluation.

    With `same_databases` drafts may be on their databases, and on those of one another whatever they are for: what is for
    evaluation has SQL skeletons of its own then.
    """

    seed: ComparedSet
    evaluation: Sequence[ComparedSet]
    same_databases: bool = False

    def screen(self, built: Path) -> Screen:
        """What refuses drafts, whose databases lie in `built`, that are in one of the sets, or nearly the same as others."""
        sets = [self.seed, *self.evaluation]
        held_out = self.evaluation if self.same_databases else ()
        return Screen("drafts", sets, lambda db_id: built / db_id / f"{db_id}.sqlite", self.same_databases, held_out)


def read_human_sets(config: SynthesizeConfig, inputs: Inputs) -> HumanSets:
    """Reads seed, dev, and the sets of `config.decontaminate`; InputError if one of them is not there."""
    named = [read_set(Path(path)) for path in config.decontaminate]
    return HumanSets(read_dataset("seed", inputs.seed), [read_dataset("dev", inputs.dev), *named], bool(config.own))


def _clear(outputs: Outputs) -> Path:
    """Removes what a killed run has left beside its log; returns the folder in which databases are to be built."""
    built = outputs.metrics.parent / "built"
    for leftover in (built, outputs.strong, outputs.unseen, outputs.heldout):
        records.remove(leftover)
    return built


def _write_datasets(
    config: SynthesizeConfig,
    collections: Mapping[str, Collection],
    parts: Sequence[Part],
    human_sets: HumanSets,
    built: Path,
    outputs: Outputs,
    heldout_domains: frozenset[str],
) -> dict[str, Any]:
    """Writes the three datasets and the report on what they have in common; returns the metrics.

    `collections` are what each of `parts` wrote, by its name.
    """
    for part in parts:
        kept = len(collections[part.name].examples)
        if kept < part.config.count:
            by = f" of {part.label()}" if part.suffix else ""
            console.say(
                f"kept {kept} of the {part.config.count} wanted{by}: {collections[part.name].requested} asked, "
                "synthesize.max_attempts used up"
            )
    collection = mixture.merge(config, [collections[part.name] for part in parts])
    examples = collection.examples
    domains = {example.db_id: normalize_domain(example.domain) for example in examples}
    plan = OwnPlan([Path(folder) for folder in config.own], config.split) if config.own else None
    example_counts = Counter(example.db_id for example in examples)
    if plan is not None:
        splits = planned_splits(example_counts, plan.part, config.split)
    else:
        unplanned = mixture.unplanned_domains(collections, parts) if heldout_domains else []
        splits = split_databases(example_counts, domains, config.split, config.seed, heldout_domains, unplanned)
    report = _drop_overlaps(collection, human_sets, splits, built)
    write_report(outputs.decontamination, report)
    section = config.model_dump(mode="json", exclude=_NOT_IN_MANIFEST)
    own = [] if config.databases == "dev" else config.own
    section |= {"own": [Path(folder).name for folder in own]}  # no path: elsewhere the same data lie in another place
    revision = code_dependencies.revision("synthesize")
    rate = _false_right(collection)
    _write_disagreements(collection.disagreements, built, outputs.strong)
    sql = {split: [example.sql for example in collection.examples if splits[example.db_id] == split] for split in SPLITS}
    for split in SPLITS:
        dataset = getattr(outputs, split)
        _write_dataset([example for example in collection.examples if splits[example.db_id] == split], built, dataset)
        shared_sql = trivial_sql([*sql["strong"], *sql["unseen"]], sql["heldout"]) if split == "heldout" else None
        write_manifest(
            dataset,
            stage="synthesize",
            section=section,
            revision=revision,
            false_right=rate,
            shared_sql=shared_sql,
            held_out_by=HELD_OUT_BY if plan is not None else None,
        )
    metrics = _metrics(config, collection, splits, rate)
    if len(parts) > 1:
        kept_by = Counter(example.source for example in collection.examples)
        metrics["teachers"] = mixture.counts_by_teacher(parts, collections, kept_by)
    if collection.units:
        of_units = {part.name for part in parts if part.writes_units}
        metrics["quotas"] = asked_and_kept(collection.wishes, [each for each in collection.examples if each.source in of_units])
    if any(llm.agreement for llm in config.llms().values()):
        metrics["agreement"] = _agreement_counts(collection)
    return metrics if plan is None else metrics | {"held_out_by": HELD_OUT_BY}


def _drop_overlaps(collection: Collection, human_sets: HumanSets, splits: Mapping[str, str], built: Path) -> Report:
    """Drops the examples of strong and unseen that overlap with heldout; returns the report on all that was compared.

    The screen has kept near-duplicates out of all splits, but not the same SQL under another question. Of heldout on one's own
    databases what has a SQL skeleton of `seed` is dropped, which is trained on.
    """

    def compared(split: str) -> ComparedSet:
        examples = (example for example in collection.examples if splits[example.db_id] == split)
        return of_examples(split, examples, lambda db_id: built / db_id / f"{db_id}.sqlite")

    trained_on: list[Overlap] = []
    if human_sets.same_databases:
        seed = [human_sets.seed]
        trained_on = find_overlaps(compared("heldout"), Comparison(seed, same_databases=True, held_out=seed))
        collection.drop({overlap.row.id: f"in seed: {overlap.reason}" for overlap in trained_on})
    evaluation = [compared("heldout"), *human_sets.evaluation]
    comparison = Comparison(evaluation[:1], human_sets.same_databases)
    overlaps = [overlap for split in ("strong", "unseen") for overlap in find_overlaps(compared(split), comparison)]
    collection.drop({overlap.row.id: f"in heldout: {overlap.reason}" for overlap in overlaps})
    # seed and dev are one author's, which ingest keeps apart by database: what they share is listed nowhere
    others = [compared_set for compared_set in evaluation if compared_set.name != "dev"]
    remaining = find_overlaps(human_sets.seed, Comparison(others, human_sets.same_databases))
    data = [compared("strong"), compared("unseen"), human_sets.seed]
    return make_report(data, evaluation, [*collection.screen.overlaps, *trained_on, *overlaps], remaining)


def _write_disagreements(disagreements: Sequence[Disagreement], built: Path, strong: Path) -> None:
    """Writes the drafts that the LLM's own answers did not confirm as a dataset folder within that of strong, with the answers.

    There is none without such drafts. They are for a person: no stage reads them.
    """
    if not disagreements:
        return
    folder = strong / DISAGREEMENTS
    for db_id in sorted({each.draft.db_id for each in disagreements}):
        shutil.copytree(built / db_id, folder / "databases" / db_id)
    rows = [
        Example.model_validate(
            {
                "id": f"disagreement-{number:06d}",
                "db_id": each.draft.db_id,
                "question": each.draft.question,
                "sql": each.draft.sql,
                "source": each.source,
                "hardness": sql_hardness(each.draft.sql),
                "evidence": each.draft.evidence,
                "domain": each.draft.domain,
                "level": each.level,
                **each.row(),
            }
        )
        for number, each in enumerate(disagreements)
    ]
    records.write_jsonl(folder / "examples.jsonl", rows)


def _agreement_counts(collection: Collection) -> dict[str, Any]:
    """How many drafts the LLM's own answers did not confirm, by reason, and where they are."""
    counts = Counter(each.vote.reason for each in collection.disagreements)
    return {"hard": counts[HARD], "ambiguous": counts[AMBIGUOUS], "folder": f"strong/{DISAGREEMENTS}"}


def _write_dataset(examples: Sequence[Example], built: Path, dataset: Path) -> None:
    """Writes one dataset folder, moving its databases there from `built`."""
    (dataset / "databases").mkdir(parents=True, exist_ok=True)
    for db_id in sorted({example.db_id for example in examples}):
        (built / db_id).replace(dataset / "databases" / db_id)
    records.write_jsonl(dataset / "examples.jsonl", examples)


def _false_right(collection: Collection) -> FalseRight:
    """How many mutants gave their gold's result on the database and all instances of the suite, as it was drawn at first.

    Of all new drafts: those of which some survive at last are not kept, so that the kept ones alone would look better than they
    are.
    """
    by_hardness: dict[Hardness, tuple[int, int]] = {}
    for hardness, label in collection.labels:
        mutants, survived = by_hardness.get(hardness, (0, 0))
        by_hardness[hardness] = (mutants + label.mutants, survived + label.survivors[-1])
    total = sum(mutants for mutants, _ in by_hardness.values())
    survivors = [sum(counts) for counts in zip(*(label.survivors for _, label in collection.labels), strict=True)]
    return false_right(by_hardness, {count: (total, survived) for count, survived in enumerate(survivors)})


def _metrics(config: SynthesizeConfig, collection: Collection, splits: Mapping[str, str], rate: FalseRight) -> dict[str, Any]:
    examples = collection.examples
    hardness_counts = Counter(example.hardness for example in examples)
    level_counts = Counter(str(getattr(example, "level")) for example in examples)  # noqa: B009  (only strong data has the field)
    split_counts = Counter(splits[example.db_id] for example in examples)
    return {
        "teacher": " + ".join(config.teachers) or config.teacher,
        **({"model": config.llm.model} if config.teacher == "llm" and config.llm is not None else {}),
        "wanted": config.count,
        "funnel": {
            "asked": collection.requested,
            "kept": len(examples),
            "dropped": dict(sorted(collection.dropped.items())),
        }
        | ({"repairs": {"asked": collection.repairs, "kept": collection.repaired}} if collection.repairs else {})
        | ({"units": {"asked": collection.units, "kept": collection.units_kept}} if collection.units else {}),
        "hardness": {level: hardness_counts[level] for level in HARDNESS},
        "asked_hardness": {level: level_counts[level] for level in HARDNESS},
        "complexity": {band: collection.bands[band] for band in BANDS},
        "domains": _most_common_domains(collection.domains),
        "databases": len({example.db_id for example in examples}),
        "database_bytes": round(sum(collection.sizes) / len(collection.sizes)),
        "suite": vars(collection.suite),
        "false_right": rate.model_dump(mode="json"),
        "splits": {split: split_counts[split] for split in SPLITS},
    }


def _most_common_domains(counts: Mapping[str, int], limit: int = 50) -> dict[str, int]:
    """The `limit` most common domains with their counts, and the sum of the others: an LLM invents thousands of domains."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ranked[limit:])
    return dict(ranked[:limit]) | ({"(others)": rest} if rest else {})
