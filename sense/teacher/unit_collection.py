"""Examples out of units: what an LLM is asked for next, by what is missing, and when there are enough or no more.

Units count in the order of their numbers, whichever has been answered first, and so do their drafts.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from sense.config import SynthesizeConfig
from sense.decontamination.screen import Screen
from sense.teacher.collection import Collection
from sense.teacher.quotas import Quotas, Wish, count_wishes
from sense.teacher.units import WishedUnit


def collect_wished_units(
    config: SynthesizeConfig,
    quotas: Quotas,
    write: Callable[[int, Sequence[Wish], Sequence[str]], Future[WishedUnit]],
    window: int,
    screen: Screen,
    advance: Callable[[], None],
    units: int | None = None,
    name: str = "",
) -> Collection:
    """Has units written until `config.count` examples are kept, the attempts are used up, or the LLM fails.

    `write` begins to write a unit with these wishes, away from these domains; at most `window` are being written at a time, and
    what is not needed in the end is not counted. `advance` is called for each example. `units` ends it after so many. `name` is
    the collection's.
    """
    size, attempts = quotas.size, config.count * config.max_attempts
    collection = Collection(config, screen, name=name, per_request=size)
    pending: deque[tuple[list[Wish], Future[WishedUnit]]] = deque()
    number = 0
    while collection.missing > 0:
        while (
            number * size < attempts
            and number != units
            and len(pending) < min(window, -(-collection.missing // size))
            and quotas.is_ready(number)
        ):
            wishes = quotas.wishes(number)
            pending.append((wishes, write(number, wishes, quotas.avoid(number))))
            number += 1
        if not pending:
            break
        wishes, future = pending.popleft()
        _add(collection, quotas, wishes, future.result(), advance)
        if collection.failed:
            break
    for _, future in pending:
        future.cancel()
    return collection


def _add(collection: Collection, quotas: Quotas, wishes: Sequence[Wish], wished: WishedUnit, advance: Callable[[], None]) -> None:
    """Counts the next unit, as far as it is needed."""
    before = len(collection.examples)
    counted = collection.add_unit(wished.unit, advance)
    examples = collection.examples[before:]
    collection.units += 1
    collection.units_kept += bool(examples)
    collection.unit_costs.append((len(examples), wished.tokens))
    collection.barren = 0 if examples else collection.barren + 1
    collection.wishes += count_wishes(wishes[:counted])
    if not collection.absent:  # else nobody knows yet what is missing
        quotas.add(wishes, examples, wished.domain)
