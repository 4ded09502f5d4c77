"""Strong data: a teacher writes databases, questions and SQL; what cannot be built and executed is dropped and counted."""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any

from sense import console, records
from sense.config import LlmConfig, SynthesizeConfig, answers_folder, api_key
from sense.decontamination.compared_sets import ComparedSet, of_examples, read_dataset, read_set
from sense.decontamination.comparison import Comparison, Overlap, find_overlaps, trivial_sql
from sense.decontamination.report import Report, make_report, write_report
from sense.decontamination.screen import Screen
from sense.errors import EndpointError, InputError, UserError
from sense.manifest import SQL_SKELETON, FalseRight, false_right, write_manifest
from sense.records import HARDNESS, Example, Hardness
from sense.schema import introspect, schema_text
from sense.sql.hardness import BANDS
from sense.stages import code_dependencies
from sense.teacher import Draft, Teacher, UnitTeacher
from sense.teacher.answer_cache import AnswerCache
from sense.teacher.checks import CheckedUnit, UnitWorker
from sense.teacher.collection import Collection, collect_drafts, collect_units, draw_level
from sense.teacher.drafts import LoggedTeacher, normalize_domain
from sense.teacher.estimate import LEVEL, estimate
from sense.teacher.grammar.own.teacher import OwnPlan, OwnTeacher
from sense.teacher.grammar.teacher import GrammarTeacher, planned_heldout_domains
from sense.teacher.ledger import Ledger, price
from sense.teacher.llm import LlmTeacher
from sense.teacher.processes import Processes
from sense.teacher.splits import SPLITS, planned_splits, split_databases

Config = SynthesizeConfig

HELD_OUT_BY = SQL_SKELETON
"""What strong, unseen and heldout do not have in common on one's own databases: queries that differ in values alone."""
_LLM_WITHOUT_EFFECT = ("concurrency", "timeout_s", "retries", "answers", "offline", "mode", "batch_requests", "batch_least")
_MONEY = ("prompt_price", "completion_price", "cached_price", "batch_price_share", "budget")
WITHOUT_EFFECT = {"llm": dict.fromkeys((*_LLM_WITHOUT_EFFECT, *_MONEY), True), "execution": {"workers": True}}
"""Keys that may change between a run that broke off and the next one, which goes on with it."""
_NOT_IN_MANIFEST = WITHOUT_EFFECT | {"llm": WITHOUT_EFFECT["llm"] | {"base_url": True}}
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
    """Writes the three datasets; EndpointError if the teacher's endpoint fails, UserError if no draft can be kept."""
    if config.teacher == "grammar" or config.llm is None:
        if config.own:
            return _write_on_own(config, read_human_sets(config, inputs), outputs)
        make_teacher = partial(GrammarTeacher, config.grammar, config.seed, config.split)
        planned = planned_heldout_domains(config.split, config.seed)
        return write_from_units(config, make_teacher, read_human_sets(config, inputs), outputs, planned)
    folder = _folder(config.llm)
    with Ledger(config.llm, folder / "ledger" / f"{outputs.metrics.parent.name}.jsonl") as ledger:
        teacher = _llm_teacher(config, config.llm, inputs, ledger)
        metrics = write_from_drafts(config, teacher, read_human_sets(config, inputs), outputs)
        console.say(ledger.summary())
    return metrics


def _folder(llm: LlmConfig) -> Path:
    """Where the LLM's answers are kept."""
    return Path(llm.answers) if llm.answers else answers_folder()


def _llm_teacher(config: SynthesizeConfig, llm: LlmConfig, inputs: Inputs, ledger: Ledger) -> LlmTeacher:
    answers = AnswerCache(_folder(llm))
    demonstrations = _demonstrations(inputs.seed)
    return LlmTeacher(llm, config.seed, demonstrations, api_key(), say=console.say, answers=answers, ledger=ledger)


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
    if section["teacher"] != "llm":
        raise UserError("--offline, --budget and --dry-run are about an LLM's answers; set synthesize.teacher to llm")
    return {**section, "llm": {**section["llm"], **changes}}


def dry_run(config: SynthesizeConfig, inputs: Inputs, probe: int) -> str:
    """The first prompt, and what the whole run is going to cost by the answers to the first `probe` requests, which are kept.

    Without a probe of two there is no estimate. Raises what a run raises.
    """
    if config.llm is None:
        raise UserError("a dry run is about an LLM's answers; set synthesize.teacher to llm")
    in_batch, llm = config.llm.mode == "batch", config.llm.model_copy(update={"mode": "requests"})
    with tempfile.TemporaryDirectory() as folder, Ledger(llm) as ledger:
        teacher = _llm_teacher(config, llm, inputs, ledger)
        system, user = teacher.messages(0, draw_level(config, 0), [])
        lines = ["-- system", system, "", "-- user", user, ""]
        if probe < 2:
            characters = len(system) + len(user)
            lines.append(
                f"{characters:,} characters, about {characters // 4:,} tokens; --dry-run 10 estimates what the run costs"
            )
            return "\n".join(lines)
        human_sets = read_human_sets(config, inputs)
        collection = _collect(config, teacher, human_sets, Path(folder) / "built", Path(folder) / "failures.jsonl", drafts=probe)
        answers = [teacher.tokens(index, draw_level(config, index), []) for index in range(collection.requested)]
        tokens = [answer for answer in answers if answer is not None]
        paid = ledger.summary()
    if len(tokens) < 2:
        raise UserError(f"{len(tokens)} of {collection.requested} answers count their tokens: too few for an estimate; raise N")
    prices = [price(llm, each, in_batch) for each in tokens]
    money = [each for each in prices if each is not None]
    kept = round(len(collection.examples) * len(tokens) / collection.requested)
    most = config.count * config.max_attempts
    whole = estimate(config.count, most, kept, tokens, money or None, config.seed)
    lines += [
        f"{len(collection.examples)} of {collection.requested} drafts kept; tokens of a request: "
        f"{fmean(each.prompt for each in tokens):,.0f} ({fmean(each.cached for each in tokens):,.0f} from the server's cache), "
        f"of an answer: {fmean(each.completion for each in tokens):,.0f}",
        f"{config.count:,} examples, with {LEVEL:.0%} intervals:",
        f"  drafts             {whole.drafts.text(',.0f')}",
        f"  prompt tokens      {whole.prompt.text(',.0f')}",
        f"  completion tokens  {whole.completion.text(',.0f')}",
        "  money              "
        + (whole.money.text(",.2f") if whole.money else "set synthesize.llm.prompt_price and completion_price"),
        f"{paid}; the run takes these answers from {_folder(llm)}",
    ]
    return "\n".join(lines)


def _write_on_own(config: SynthesizeConfig, human_sets: "HumanSets", outputs: Outputs) -> dict[str, Any]:
    """Writes the three datasets on the user's own databases, all of which each has."""
    folders = [Path(folder) for folder in config.own]
    plan = OwnPlan(folders, config.split)
    make_teacher = partial(OwnTeacher, config.grammar, config.seed, folders, config.split)
    return write_from_units(config, make_teacher, replace(human_sets, same_databases=True), outputs, plan=plan)


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
    return HumanSets(read_dataset("seed", inputs.seed), [read_dataset("dev", inputs.dev), *named])


def write_from_units(
    config: SynthesizeConfig,
    make_teacher: Callable[[], UnitTeacher],
    human_sets: HumanSets,
    outputs: Outputs,
    heldout_domains: frozenset[str] = frozenset(),
    plan: OwnPlan | None = None,
) -> dict[str, Any]:
    """Writes the drafts that pass the checks as three datasets; returns the metrics.

    `make_teacher` is called in every process; a killed run begins anew. `heldout_domains` are those that the teacher has laid
    out for heldout, `plan` what each of its units is for; without either, domains of heldout are drawn.
    """
    built = _clear(outputs)
    make_worker = partial(UnitWorker, make_teacher, built, config)
    with Processes(make_worker, config.execution.processes) as processes, console.bar("strong data", config.count) as bar:
        collection = collect_units(config, processes, human_sets.screen(built), bar.advance)
    return _write_datasets(config, collection, human_sets, built, outputs, heldout_domains, plan)


def write_from_drafts(config: SynthesizeConfig, teacher: Teacher, human_sets: HumanSets, outputs: Outputs) -> dict[str, Any]:
    """Writes the drafts of an LLM that pass the checks as three datasets; returns the metrics.

    Failures that an earlier, killed run of the stage has logged count again. InputError if an offline teacher lacks answers.
    """
    built = _clear(outputs)
    with console.bar("strong data", config.count) as bar:
        collection = _collect(config, teacher, human_sets, built, outputs.metrics.parent / "failures.jsonl", bar.advance)
    return _write_datasets(config, collection, human_sets, built, outputs)


def _collect(
    config: SynthesizeConfig,
    teacher: Teacher,
    human_sets: HumanSets,
    built: Path,
    log: Path,
    advance: Callable[[], None] = lambda: None,
    drafts: int | None = None,
) -> Collection:
    """Asks an LLM for drafts until there are enough, or `drafts` are asked for.

    Databases are written to `built`, failures to `log`.
    Raises InputError if an offline teacher lacks answers.
    """
    concurrency = config.llm.concurrency if config.llm else 1
    with Processes(partial(UnitWorker, None, built, config), config.execution.processes) as processes:

        def check(draft: Draft) -> CheckedUnit:
            return processes.submit(UnitWorker.check, [draft]).result()

        repair = config.llm is not None and config.llm.repair
        check_once = cache(check) if config.llm is not None and config.llm.mode == "batch" else check
        kept = 0
        while True:  # once, unless answers come in batches: then until no more is asked that no batch has brought
            progress = _beyond(kept, advance)
            with LoggedTeacher(teacher, log, 2 * concurrency, check_once, repair) as logged_teacher:
                collection = collect_drafts(config, logged_teacher, human_sets.screen(built), concurrency, progress, drafts)
            kept = max(kept, len(collection.examples))
            if not teacher.fetch():
                break
    if collection.absent:
        raise _absent_error(config, collection)
    if collection.failed or not collection.examples:
        logged_teacher.forget(range(collection.checked - len(collection.rejected), collection.checked))
    return collection


def _beyond(count: int, advance: Callable[[], None]) -> Callable[[], None]:
    """What calls `advance` from the call after the first `count` on."""
    calls = iter(range(count))

    def progress() -> None:
        if next(calls, None) is None:
            advance()

    return progress


def _clear(outputs: Outputs) -> Path:
    """Removes what a killed run has left beside its log; returns the folder in which databases are to be built."""
    built = outputs.metrics.parent / "built"
    for leftover in (built, outputs.strong, outputs.unseen, outputs.heldout):
        records.remove(leftover)
    return built


def _write_datasets(
    config: SynthesizeConfig,
    collection: Collection,
    human_sets: HumanSets,
    built: Path,
    outputs: Outputs,
    heldout_domains: frozenset[str] = frozenset(),
    plan: OwnPlan | None = None,
) -> dict[str, Any]:
    """Writes the three datasets and the report on what they have in common; UserError if nothing could be kept."""
    examples = collection.examples
    if collection.failed or not examples:
        raise _nothing_kept_error(config, collection)
    if len(examples) < config.count:
        console.say(
            f"kept {len(examples)} of the {config.count} wanted: {collection.requested} asked, synthesize.max_attempts used up"
        )
    domains = {example.db_id: normalize_domain(example.domain) for example in examples}
    example_counts = Counter(example.db_id for example in examples)
    if plan is not None:
        splits = planned_splits(example_counts, plan.part, config.split)
    else:
        splits = split_databases(example_counts, domains, config.split, config.seed, heldout_domains)
    report = _drop_overlaps(collection, human_sets, splits, built)
    write_report(outputs.decontamination, report)
    section = config.model_dump(mode="json", exclude=_NOT_IN_MANIFEST)
    section |= {"own": [Path(folder).name for folder in config.own]}  # no path: elsewhere the same data lie in another place
    revision = code_dependencies.revision("synthesize")
    rate = _false_right(collection)
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


def _demonstrations(seed: Path) -> list[tuple[Example, str]]:
    """The examples of the seed dataset, each with its schema as text."""
    examples = records.read_dataset(seed)
    schemas = {}
    for db_id in sorted({example.db_id for example in examples}):
        schemas[db_id] = schema_text(introspect(records.database_path(seed, db_id), samples=3), "ddl")
    return [(example, schemas[example.db_id]) for example in examples]


def _write_dataset(examples: Sequence[Example], built: Path, dataset: Path) -> None:
    """Writes one dataset folder, moving its databases there from `built`."""
    (dataset / "databases").mkdir(parents=True)
    for db_id in sorted({example.db_id for example in examples}):
        (built / db_id).replace(dataset / "databases" / db_id)
    records.write_jsonl(dataset / "examples.jsonl", examples)


def _absent_error(config: SynthesizeConfig, collection: Collection) -> InputError:
    """Why an offline run ends: answers are missing, or so many at least, as later requests depend on them."""
    folder = _folder(config.llm) if config.llm else ""
    return InputError(
        f"{folder}: {collection.absent} of the {collection.requested} answers that {config.count} examples need at least are not "
        "there; run without --offline (synthesize.llm.offline) to ask for them, or name the folder that has them in "
        "SENSE_ANSWERS or synthesize.llm.answers"
    )


def _nothing_kept_error(config: SynthesizeConfig, collection: Collection) -> UserError:
    """Why the run ends: no draft since the last example could be kept."""
    rejected, requests = collection.rejected, collection.failed_requests()
    counts = Counter(draft.reason for draft in rejected)
    details = {draft.reason: draft.detail for draft in reversed(rejected)}
    reasons = [f"  {count} {reason}, first: {details[reason][:600]}" for reason, count in counts.most_common(5)]
    drafts = f"none of the last {len(rejected)} drafts" if collection.examples else f"none of the {len(rejected)} drafts"
    problem = f"{drafts} of the {config.teacher} teacher could be kept"
    if config.teacher == "grammar":
        fix = "copy more rows or tables (sense own), or correct the glossary" if config.own else "raise synthesize.grammar.rows"
        return UserError("\n".join([f"{problem}; {fix}", *reasons]))
    again = "the next run of the same section asks for these drafts again and keeps all others"
    if requests:
        kind = "request" if requests == 1 else "requests in a row"
        return EndpointError("\n".join([f"{problem}: {requests} {kind} brought no answer; {again}", *reasons]))
    return UserError("\n".join([f"{problem}; try another synthesize.llm.model: {again}", *reasons]))


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
        "teacher": config.teacher,
        **({"model": config.llm.model} if config.teacher == "llm" and config.llm is not None else {}),
        "wanted": config.count,
        "funnel": {
            "asked": collection.requested,
            "kept": len(examples),
            "dropped": dict(sorted(collection.dropped.items())),
        }
        | ({"repairs": {"asked": collection.repairs, "kept": collection.repaired}} if collection.repairs else {}),
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
