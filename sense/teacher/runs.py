"""What one teacher of a run writes: the processes that write and check, the threads that ask an LLM, and how that ends.

The grammar's units are written by processes; a killed run begins anew. What an LLM answers is kept, and what fails is logged in
the work folder, so that a killed run goes on.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from sense import records
from sense.config import LlmConfig, answers_folder, api_key, api_key_variable
from sense.decontamination.screen import Screen
from sense.errors import EndpointError, InputError, UserError
from sense.processes import Processes
from sense.records import Example, Hardness
from sense.schema import introspect, schema_text
from sense.teacher import Draft, RejectedDraft, Teacher, UnitTeacher, agreement, sql_first, unit_answers
from sense.teacher.agreement import Agreement, Disagreement
from sense.teacher.answer_cache import AnswerCache
from sense.teacher.batch_client import make_client
from sense.teacher.checks import CheckedUnit, UnitWorker, join_units
from sense.teacher.collection import Collection, collect_drafts, collect_units
from sense.teacher.drafts import LoggedTeacher
from sense.teacher.exchanges import Exchanges
from sense.teacher.grammar.own.teacher import OwnTeacher
from sense.teacher.grammar.teacher import GrammarTeacher
from sense.teacher.ledger import Ledger, Tokens
from sense.teacher.llm import LlmTeacher
from sense.teacher.mixture import Part, PrefixedTeacher, with_prefix
from sense.teacher.openai import ChatClient
from sense.teacher.quotas import Quotas, Wish
from sense.teacher.sql_first import QuestionWriter
from sense.teacher.unit_collection import collect_wished_units
from sense.teacher.unit_sources import InventedDatabases, OwnDatabases, UnitSource
from sense.teacher.units import UnitWriter, WishedUnit
from sense.teacher.votes import Vote


class Work(NamedTuple):
    """Where databases are `built`, and the `folder` of what a killed run of the stage leaves for the next.

    `say` takes lines for a person. `usage` gets the tokens of each answer beside those with drafts, None where it does not say.
    """

    built: Path
    folder: Path
    say: Callable[[str], None]
    usage: list[Tokens | None]


def write_part(part: Part, work: Work, screen: Screen, advance: Callable[[], None], seeds: Path) -> Collection:
    """What one teacher writes; demonstrations are drawn from the dataset `seeds`. EndpointError names the teacher of several."""
    if part.config.teacher == "grammar":
        return write_units(part, grammar_teacher(part), work, screen, advance)
    try:
        with _ledger(part, work) as ledger:
            if part.writes_units:
                collection = write_wished_units(part, chat_client(part, work, ledger), work, screen, seeds, advance)
            elif part.writes_domains:
                teacher = llm_teacher(part, seeds, work, ledger)
                collection = write_drafts(part, teacher, teacher.client, work, screen, advance)
            else:
                collection = write_questions(part, chat_client(part, work, ledger), work, screen, advance)
            work.say(ledger.summary())
    except EndpointError as error:
        if not part.suffix:
            raise
        raise EndpointError(f"{part.label()}: {error} (its key is {api_key_variable(part.name)})") from None
    return collection


def write_units(
    part: Part, make_teacher: Callable[[], UnitTeacher], work: Work, screen: Screen, advance: Callable[[], None]
) -> Collection:
    """Has the grammar write until there are enough examples."""
    config = part.config
    with Processes(partial(UnitWorker, make_teacher, work.built, config), config.execution.processes) as processes:
        window = 2 * processes.count if processes.count > 1 else 1

        def write(number: int, levels: Sequence[Hardness]) -> Future[CheckedUnit]:
            return processes.submit(UnitWorker.write, number, levels)

        return collect_units(config, write, window, screen, advance, name=part.name)


def write_questions(
    part: Part,
    client: ChatClient,
    work: Work,
    screen: Screen,
    advance: Callable[[], None] = lambda: None,
    units: int | None = None,
) -> Collection:
    """Has the grammar write databases and SQL, and an LLM the questions, until there are enough, or `units` databases.

    Raises InputError if an offline client lacks answers.
    """
    config, llm = part.config, part.llm
    make_worker = partial(UnitWorker, grammar_teacher(part), work.built, config)
    with (
        Processes(make_worker, config.execution.processes) as processes,
        _agreement(part, client, work, processes) as agreement,
    ):
        with (
            ThreadPoolExecutor(2 * llm.concurrency, thread_name_prefix="unit") as pool,
            exchanges_of(part, client.for_answers(sql_first.FORMAT), work, "questions") as exchanges,
        ):
            writer = QuestionWriter(llm, config.seed, exchanges)

            def write_unit(number: int, levels: Sequence[Hardness]) -> CheckedUnit:
                written = writer.write(number, *processes.submit(UnitWorker.draft, number, levels).result())
                unit = processes.submit(UnitWorker.check, written.drafts).result()._replace(repaired=written.repaired)
                return agreement.confirm_unit(unit) if agreement else unit

            def write(number: int, levels: Sequence[Hardness]) -> Future[CheckedUnit]:
                return pool.submit(write_unit, number, levels)

            collection = collect_units(config, write, 2 * llm.concurrency, screen, advance, units, part.name)
        _end(part, collection, agreement, writer.forget)  # when no thread is left that could keep a further answer
    return collection


def write_wished_units(
    part: Part,
    client: ChatClient,
    work: Work,
    screen: Screen,
    seeds: Path,
    advance: Callable[[], None] = lambda: None,
    units: int | None = None,
) -> Collection:
    """Has an LLM write databases with several questions each, until there are enough, or `units` databases.

    Demonstrations are drawn from the dataset `seeds`. Raises InputError if an offline client lacks answers.
    """
    config, llm = part.config, part.llm
    client_of_units = client.for_answers(unit_answers.FORMAT)
    in_batches = llm.mode == "batch"
    source = unit_source(part, seeds)
    with (
        Processes(partial(UnitWorker, None, work.built, config), config.execution.processes) as processes,
        _agreement(part, client, work, processes) as agreement,
    ):

        def check(drafts: tuple[Draft | RejectedDraft, ...]) -> CheckedUnit:
            prefixed = [with_prefix(draft, part.database_prefix) for draft in drafts]
            positions: dict[str, list[int]] = {}
            for position, draft in enumerate(prefixed):
                if isinstance(draft, Draft):
                    positions.setdefault(draft.db_id, []).append(position)
            futures = {
                tuple(on_one): processes.submit(UnitWorker.check, [prefixed[position] for position in on_one])
                for on_one in positions.values()
            }
            rejected = [draft if isinstance(draft, RejectedDraft) else None for draft in prefixed]
            return join_units(rejected, {on_one: future.result() for on_one, future in futures.items()})

        check_once = cache(check) if in_batches else check

        def collect(own_screen: Screen, progress: Callable[[], None]) -> tuple[Collection, UnitWriter]:
            with (
                ThreadPoolExecutor(2 * llm.concurrency, thread_name_prefix="unit") as pool,
                exchanges_of(part, client_of_units, work, "units") as exchanges,
            ):
                writer = UnitWriter(llm, config.seed, source, exchanges, check_once)

                def write_unit(number: int, wishes: Sequence[Wish], avoid: Sequence[str]) -> WishedUnit:
                    wished = writer.write(number, wishes, avoid)
                    return wished._replace(unit=agreement.confirm_unit(wished.unit)) if agreement else wished

                def write(number: int, wishes: Sequence[Wish], avoid: Sequence[str]) -> Future[WishedUnit]:
                    return pool.submit(write_unit, number, wishes, avoid)

                window, quotas = 2 * llm.concurrency, Quotas(config, llm)
                return collect_wished_units(config, quotas, write, window, own_screen, progress, units, part.name), writer

        kept = 0
        while True:  # once, unless answers come in batches: then until no more is asked that no batch has brought
            collection, writer = collect(screen.copy() if in_batches else screen, _beyond(kept, advance))
            kept = max(kept, len(collection.examples))
            if not client_of_units.fetch():
                break
        _end(part, collection, agreement, partial(writer.forget, collection.units - collection.barren))
    return collection


def write_drafts(
    part: Part,
    teacher: Teacher,
    client: ChatClient | None,
    work: Work,
    screen: Screen,
    advance: Callable[[], None] = lambda: None,
    drafts: int | None = None,
) -> Collection:
    """Asks an LLM for drafts until there are enough, or `drafts` are asked for.

    `client` asks for the answers that are to agree with them. Raises InputError if an offline teacher lacks answers.
    """
    config = part.config
    concurrency = part.llm.concurrency
    log = work.folder / f"failures{part.suffix}.jsonl"
    with (
        Processes(partial(UnitWorker, None, work.built, config), config.execution.processes) as processes,
        _agreement(part, client, work, processes) as agreement,
    ):

        def check(draft: Draft) -> CheckedUnit:
            unit = processes.submit(UnitWorker.check, [with_prefix(draft, part.database_prefix)]).result()
            return agreement.confirm_unit(unit) if agreement else unit

        in_batches = part.llm.mode == "batch"
        check_once = cache(check) if in_batches else check
        kept = 0
        while True:  # once, unless answers come in batches: then until no more is asked that no batch has brought
            progress, own_screen = _beyond(kept, advance), screen.copy() if in_batches else screen
            with LoggedTeacher(teacher, log, 2 * concurrency, check_once, part.llm.repair) as logged_teacher:
                collection = collect_drafts(config, logged_teacher, own_screen, concurrency, progress, drafts, part.name)
            kept = max(kept, len(collection.examples))
            if not teacher.fetch():
                break

        def forget() -> None:
            logged_teacher.forget(range(collection.checked - len(collection.rejected), collection.checked))

        _end(part, collection, agreement, forget)
    return collection


def _beyond(count: int, advance: Callable[[], None]) -> Callable[[], None]:
    """What calls `advance` from the call after the first `count` on."""
    calls = iter(range(count))

    def progress() -> None:
        if next(calls, None) is None:
            advance()

    return progress


def _end(part: Part, collection: Collection, agreement: Agreement | None, forget: Callable[[], None]) -> None:
    """Lets a teacher that fails forget what was of no use; InputError if an offline one lacks answers."""
    if collection.absent:
        raise _absent_error(part, collection)
    if collection.failed or not collection.examples:
        forget()
        if agreement is not None:
            agreement.forget([each.draft for each in collection.rejected if isinstance(each, Disagreement)])


@contextmanager
def _agreement(part: Part, client: ChatClient | None, work: Work, processes: Processes[UnitWorker]) -> Iterator[Agreement | None]:
    """The check by back-translation, if the section asks for it."""
    if client is None or part.llm.agreement == 0:
        yield None
        return

    def count_votes(draft: Draft, answers: Sequence[str]) -> Vote:
        return processes.submit(UnitWorker.vote, draft, answers).result()

    def prompt_schema(db_id: str) -> str:
        return processes.submit(UnitWorker.prompt_schema, db_id).result()

    with exchanges_of(part, client.for_answers(agreement.FORMAT, agreement.STAGE), work, "agreement") as exchanges:
        yield Agreement(part.llm.agreement, part.config.seed, exchanges, count_votes, prompt_schema)


def unit_source(part: Part, seeds: Path) -> UnitSource:
    """The databases on which an LLM writes several questions at once, with demonstrations from the dataset `seeds`."""
    config = part.config
    if config.own:
        folders = [Path(folder) for folder in config.own]
        return OwnDatabases(part.llm, config.seed, folders, config.split, records.read_dataset(seeds))
    return InventedDatabases(part.llm, config.seed, _demonstrations(seeds))


def exchanges_of(part: Part, client: ChatClient, work: Work, kind: str) -> Exchanges:
    """Requests of one kind, which `client` makes."""
    log = work.folder / f"{kind}-failures{part.suffix}.jsonl"
    return Exchanges(client, log, 2 * part.llm.concurrency, work.usage)


def grammar_teacher(part: Part) -> Callable[[], UnitTeacher]:
    """Makes the grammar that writes databases and SQL: of an LLM that writes the questions alone, on databases of its own."""
    config = part.config
    seed = config.seed if config.teacher == "grammar" else sql_first.grammar_seed(config.seed)
    if config.own:
        folders = [Path(folder) for folder in config.own]
        return partial(PrefixedTeacher, partial(OwnTeacher, config.grammar, seed, folders, config.split), part.database_prefix)
    return partial(PrefixedTeacher, partial(GrammarTeacher, config.grammar, seed, config.split), part.database_prefix)


def answers_of(llm: LlmConfig) -> Path:
    """Where the LLM's answers are kept."""
    return Path(llm.answers) if llm.answers else answers_folder()


def _ledger(part: Part, work: Work) -> Ledger:
    return Ledger(part.llm, answers_of(part.llm) / "ledger" / f"{work.folder.name}{part.suffix}.jsonl")


def chat_client(part: Part, work: Work, ledger: Ledger) -> ChatClient:
    """The client of a part's LLM, with the answers that are kept."""
    return make_client(part.llm, _key(part), say=work.say, answers=AnswerCache(answers_of(part.llm)), ledger=ledger)


def llm_teacher(part: Part, seeds: Path, work: Work, ledger: Ledger) -> LlmTeacher:
    """An LLM that writes databases, questions and SQL, with demonstrations from the dataset `seeds`."""
    answers = AnswerCache(answers_of(part.llm))
    examples = _demonstrations(seeds)
    return LlmTeacher(part.llm, part.config.seed, examples, _key(part), say=work.say, answers=answers, ledger=ledger)


def _key(part: Part) -> str:
    return api_key(part.name if part.suffix else "")


def _demonstrations(seed: Path) -> list[tuple[Example, str]]:
    """The examples of the seed dataset, each with its schema as text."""
    examples = records.read_dataset(seed)
    schemas = {}
    for db_id in sorted({example.db_id for example in examples}):
        schemas[db_id] = schema_text(introspect(records.database_path(seed, db_id), samples=3), "ddl")
    return [(example, schemas[example.db_id]) for example in examples]


def _absent_error(part: Part, collection: Collection) -> InputError:
    """Why an offline run ends: answers are missing, or so many at least, as later requests depend on them."""
    absent, requested = collection.absent, collection.requested
    if collection.per_request > 1:
        absent, requested = -(-absent // collection.per_request), collection.units
    return InputError(
        f"{answers_of(part.llm)}: {absent} of the {requested} answers that {part.config.count} examples "
        "need at least are not there; run without --offline (synthesize.llm.offline) to ask for them, or name the folder that "
        "has them in SENSE_ANSWERS or synthesize.llm.answers"
    )


def nothing_kept_error(part: Part, collection: Collection) -> UserError:
    """Why the run ends: no draft since the last example could be kept."""
    config = part.config
    rejected, requests = collection.rejected, collection.failed_requests()
    counts = Counter(draft.reason for draft in rejected)
    details = {draft.reason: draft.detail for draft in reversed(rejected)}
    reasons = [f"  {count} {reason}, first: {details[reason][:600]}" for reason, count in counts.most_common(5)]
    drafts = f"none of the last {len(rejected)} drafts" if collection.examples else f"none of the {len(rejected)} drafts"
    problem = f"{drafts} of {part.label()} could be kept"
    if config.teacher == "grammar":
        fix = "copy more rows or tables (sense own), or correct the glossary" if config.own else "raise synthesize.grammar.rows"
        return UserError("\n".join([f"{problem}; {fix}", *reasons]))
    again = "the next run of the same section asks for these drafts again and keeps all others"
    if requests:
        kind = "request" if requests == 1 else "requests in a row"
        return EndpointError("\n".join([f"{problem}: {requests} {kind} brought no answer; {again}", *reasons]))
    return UserError("\n".join([f"{problem}; try another synthesize.llm.model: {again}", *reasons]))
