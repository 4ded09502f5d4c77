"""What an LLM's part of a run is going to cost, before it is written: its first prompt, and an estimate by its first answers."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from pathlib import Path
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
    counted = [(kept, answer) for kept, answer in zip(tried.kept, tried.tokens, strict=True) if answer is not None]
    if len(counted) < 2:
        raise UserError(f"{len(counted)} of {len(tried.tokens)} answers count their tokens: too few for an estimate; raise N")
    kept, tokens = [each for each, _ in counted], [each for _, each in counted]
    prices = [price(llm, each, in_batch) for each in tokens]
    money = [each for each in prices if each is not None]
    most, drafts = config.count * config.max_attempts, tried.size * len(tokens)
    whole = estimate(config.count, most, kept, tried.size, tokens, money or None, config.seed)
    prompt, cached, completion = (sum(getattr(each, name) for each in tokens) for name in ("prompt", "cached", "completion"))
    return [
        *lines,
        f"{sum(tried.kept)} of {tried.size * len(tried.kept)} drafts kept; tokens of a draft: prompt "
        f"{prompt / drafts:,.0f} ({cached / drafts:,.0f} from the server's cache), answer {completion / drafts:,.0f}"
        + (f"; of an example: {(prompt + completion) / sum(kept):,.0f}" if sum(kept) else ""),
        f"{config.count:,} examples, with {LEVEL:.0%} intervals:",
        f"  drafts             {whole.drafts.text(',.0f')}",
        f"  prompt tokens      {whole.prompt.text(',.0f')}",
        f"  completion tokens  {whole.completion.text(',.0f')}",
        "  money              "
        + (whole.money.text(",.2f") if whole.money else "set synthesize.llm.prompt_price and completion_price"),
        f"{paid}; the run takes these answers from {runs.answers_of(llm)}",
    ]


class _Probe(NamedTuple):
    """What the first requests took each, None where it is not counted, and how many examples each brought of `size` drafts."""

    tokens: list[Tokens | None]
    kept: list[int]
    size: int = 1


def _first_answers(
    part: Part, seeds: Path, work: runs.Work, screen: Callable[[Path], Screen], ledger: Ledger, probe: int
) -> tuple[ChatRequest, _Probe]:
    """The first request, and what became of the first `probe` drafts or more; none of them if that is less than two."""
    config, llm = part.config, part.llm
    if part.writes_units:
        wishes = Quotas(config, llm).wishes(0)
        first = runs.unit_source(part, seeds).request(0, wishes, [])
        if probe < 2:
            return first, _Probe([], [])
        client = runs.chat_client(part, work, ledger)
        units = max(2, -(-probe // llm.questions))
        whole = replace(part, config=config.model_copy(update={"count": max(config.count, units * llm.questions)}))
        collection = runs.write_wished_units(whole, client, work, screen(work.built), seeds, units=units)
        answers = [_sum(answers) for _, answers in collection.unit_costs]
        others = Counter(work.usage) - Counter(each for _, tokens in collection.unit_costs for each in tokens)
        kept = [examples for examples, _ in collection.unit_costs]
        return first, _Probe(_with_shares(answers, [*others.elements()]), kept, llm.questions)
    tokens: list[Tokens | None]
    if part.writes_domains:
        teacher = runs.llm_teacher(part, seeds, work, ledger)
        first = ChatRequest(*teacher.messages(0, draw_level(config, 0), []), seed=0)
        if probe < 2:
            return first, _Probe([], [])
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
            return first, _Probe([], [])
        units = -(-probe // config.grammar.per_database)
        collection = runs.write_questions(part, runs.chat_client(part, work, ledger), work, screen(work.built), units=units)
        tokens = [Tokens(0, 0, 0)] * collection.requested
    examples = len(collection.examples)
    return first, _Probe(_with_shares(tokens, work.usage), [1] * examples + [0] * (len(tokens) - examples))


def _with_shares(tokens: Sequence[Tokens | None], others: Sequence[Tokens | None]) -> list[Tokens | None]:
    """What each request took, with its even share of the `others` that were made for all; None where it is not counted."""
    whole = _sum(others)
    if whole is None:
        return [None] * len(tokens)
    share = Tokens(*(round(value / len(tokens)) for value in astuple(whole)))
    return [None if each is None else _sum([each, share]) for each in tokens]


def _sum(tokens: Sequence[Tokens | None]) -> Tokens | None:
    """All of them together; None if one is not counted."""
    if any(each is None for each in tokens):
        return None
    return Tokens(*(sum(getattr(each, name) for each in tokens) for name in ("prompt", "cached", "completion")))
