"""What an LLM's part of a run is going to cost, before it is written: its first prompt, and an estimate by its first answers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import NamedTuple

from sense.config import SynthesizeConfig
from sense.decontamination.screen import Screen
from sense.errors import UserError
from sense.teacher import mixture, runs
from sense.teacher.checks import UnitWorker
from sense.teacher.collection import draw_level
from sense.teacher.estimate import LEVEL, estimate
from sense.teacher.exchanges import ChatRequest
from sense.teacher.ledger import Ledger, Tokens, price
from sense.teacher.mixture import Part
from sense.teacher.quotas import Quotas
from sense.teacher.sql_first import QuestionWriter


def dry_run(
    config: SynthesizeConfig, seeds: Path, screen: Callable[[Path], Screen], say: Callable[[str], None], probe: int
) -> str:
    """Of each LLM the first prompt, and what its part is going to cost by the answers to its first `probe` requests.

    These answers are kept. `seeds` is the dataset that demonstrations are drawn from, `screen` makes the screen of drafts whose
    databases lie in a folder. Without a probe of two there is no estimate. Raises what a run raises.
    """
    texts = [
        "\n".join([*([f"-- teacher {part.name}"] if part.suffix else []), *_probe(part, seeds, screen, say, probe)])
        for part in mixture.parts(config)
        if part.config.teacher == "llm"
    ]
    if not texts:
        raise UserError("a dry run is about an LLM's answers; set synthesize.teacher to llm")
    return "\n\n".join(texts)


def _probe(part: Part, seeds: Path, screen: Callable[[Path], Screen], say: Callable[[str], None], probe: int) -> list[str]:
    """The lines of a dry run about one LLM, which is asked by single requests."""
    in_batch, llm = part.llm.mode == "batch", part.llm.model_copy(update={"mode": "requests"})
    part = replace(part, config=part.config.model_copy(update={"llm": llm}))
    config = part.config
    with TemporaryDirectory() as folder, Ledger(llm) as ledger:
        work = runs.Work(Path(folder) / "built", Path(folder), say, [])
        first, tried = _first_answers(part, seeds, work, screen, ledger, probe)
        lines = ["-- system", first.system, "", "-- user", first.user, ""]
        if probe < 2:
            characters = len(first.system) + len(first.user)
            return [
                *lines,
                f"{characters:,} characters, about {characters // 4:,} tokens; --dry-run 10 estimates what the run costs",
            ]
        paid = ledger.summary()
    tokens = [answer for answer in tried.tokens if answer is not None]
    if len(tokens) < 2:
        raise UserError(f"{len(tokens)} of {len(tried.tokens)} answers count their tokens: too few for an estimate; raise N")
    prices = [price(llm, each, in_batch) for each in tokens]
    money = [each for each in prices if each is not None]
    kept = round(tried.kept * len(tokens) / len(tried.tokens))
    most = config.count * config.max_attempts
    whole = estimate(config.count, most, kept, tokens, money or None, config.seed)
    return [
        *lines,
        f"{tried.kept} of {len(tried.tokens)} drafts kept; tokens of a draft: prompt "
        f"{fmean(each.prompt for each in tokens):,.0f} ({fmean(each.cached for each in tokens):,.0f} from the server's cache), "
        f"answer {fmean(each.completion for each in tokens):,.0f}"
        + (f"; of an example: {sum(each.prompt + each.completion for each in tokens) / kept:,.0f}" if kept else ""),
        f"{config.count:,} examples, with {LEVEL:.0%} intervals:",
        f"  drafts             {whole.drafts.text(',.0f')}",
        f"  prompt tokens      {whole.prompt.text(',.0f')}",
        f"  completion tokens  {whole.completion.text(',.0f')}",
        "  money              "
        + (whole.money.text(",.2f") if whole.money else "set synthesize.llm.prompt_price and completion_price"),
        f"{paid}; the run takes these answers from {runs.answers_of(llm)}",
    ]


class _Probe(NamedTuple):
    """What the first drafts took each, None where it is not counted, and how many of them became examples."""

    tokens: list[Tokens | None]
    kept: int


def _first_answers(
    part: Part, seeds: Path, work: runs.Work, screen: Callable[[Path], Screen], ledger: Ledger, probe: int
) -> tuple[ChatRequest, _Probe]:
    """The first request, and what became of the first `probe` drafts or more; none of them if that is less than two."""
    config, llm = part.config, part.llm
    if part.writes_units:
        wishes = Quotas(config, llm).wishes(0)
        first = runs.unit_source(part, seeds).request(0, wishes, [])
        if probe < 2:
            return first, _Probe([], 0)
        client = runs.chat_client(part, work, ledger)
        units = -(-probe // llm.questions)
        tokens: list[Tokens | None]
        collection = runs.write_wished_units(part, client, work, screen(work.built), seeds, units=units)
        tokens = [Tokens(0, 0, 0)] * collection.requested
    elif part.writes_domains:
        teacher = runs.llm_teacher(part, seeds, work, ledger)
        first = ChatRequest(*teacher.messages(0, draw_level(config, 0), []), seed=0)
        if probe < 2:
            return first, _Probe([], 0)
        collection = runs.write_drafts(part, teacher, teacher.client, work, screen(work.built), drafts=probe)
        tokens = [teacher.tokens(index, draw_level(config, index), []) for index in range(collection.requested)]
    else:
        client = runs.chat_client(part, work, ledger)
        with UnitWorker(runs.grammar_teacher(part), work.built, config) as worker:
            levels = [draw_level(config, index) for index in range(min(config.grammar.per_database, config.count))]
            drafts = worker.draft(0, levels)
        with runs.exchanges_of(part, client, work, "first") as exchanges:
            first = QuestionWriter(llm, config.seed, exchanges).requests(0, *drafts)[0]
        if probe < 2:
            return first, _Probe([], 0)
        units = -(-probe // config.grammar.per_database)
        collection = runs.write_questions(part, runs.chat_client(part, work, ledger), work, screen(work.built), units=units)
        tokens = [Tokens(0, 0, 0)] * collection.requested
    return first, _Probe([_plus(each, work.usage, len(tokens)) for each in tokens], len(collection.examples))


def _plus(tokens: Tokens | None, usage: Sequence[Tokens | None], drafts: int) -> Tokens | None:
    """What a draft took, with its even share of the answers in `usage`; None if that is not counted."""
    counted = [each for each in usage if each is not None]
    if tokens is None or len(counted) < len(usage):
        return None
    names = ("prompt", "cached", "completion")
    return Tokens(*(getattr(tokens, name) + round(sum(getattr(each, name) for each in counted) / drafts) for name in names))
