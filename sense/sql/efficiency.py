"""BIRD's R-VES: how fast a right query is beside its gold.

After `evaluation_ves.py` of BIRD's mini_dev: both are executed again and again, ratios beyond three standard deviations
are left out, and the mean of the others is turned into a reward by steps. A model's R-VES is the mean of 100 times the
root of its rewards. Unlike the original we time on open connections: reading the schema is no part of a query's speed.
"""

import math
import time
from collections.abc import Callable, Sequence

from sense.sql.result import Failure
from sense.sql.statement import Place, Session, collect

_ITERATIONS = 100
_STEPS = ((2.0, 1.25), (1.0, 1.0), (0.5, 0.75), (0.25, 0.5), (0.0, 0.25))  # from this ratio on, this reward


def reward(session: Session, place: Place, predicted: str, gold: str, tell: Callable[[], None]) -> float:
    """0.25 to 1.25, 1 for a query as fast as its gold; 0 if either fails when it is run again.

    100 executions of both, or as many as fit into twice the time limit of one query; `tell` is called before each.
    """
    ratios: list[float] = []
    end = time.perf_counter() + 2 * session.limits.timeout_s
    while len(ratios) < _ITERATIONS and (time.perf_counter() < end or not ratios):
        seconds = []
        for sql in (predicted, gold):
            tell()
            start = time.perf_counter()
            if isinstance(session.run(place, sql, collect, "strict"), Failure):
                return 0.0
            seconds.append(time.perf_counter() - start)
        ratios.append(seconds[1] / seconds[0])
    ratio = _typical(ratios)
    return next(value for least, value in _STEPS if ratio >= least)


def _typical(ratios: Sequence[float]) -> float:
    """The mean of the ratios within three standard deviations of their mean, and of all if there are none."""
    mean = math.fsum(ratios) / len(ratios)
    deviation = math.sqrt(math.fsum((ratio - mean) ** 2 for ratio in ratios) / len(ratios))
    kept = [ratio for ratio in ratios if abs(ratio - mean) < 3 * deviation]
    return math.fsum(kept) / len(kept) if kept else mean
