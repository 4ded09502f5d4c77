"""The cost of a result, in a file that is found by the digest of that result: another result's cost is never taken for it.

The files lie in `cost` of the folder of unfinished work (`.sense/work/cost`). They belong to no stage's outputs.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sense import config, records
from sense.errors import InputError

FOLDER = "cost"
_PREFIX = "cost."


@dataclass(frozen=True)
class Cost:
    """What a stage has cost, all tries together.

    `wall_s` are seconds by the clock, `cpu_s` those of processors (user and system, the stage's process and those that it has
    started and waited for), `gpu_s` are `wall_s` for each GPU that it computed on. `peak_bytes` is the most resident memory that
    one of its processes had, `peak_gpu_bytes` the most that PyTorch held on GPUs in one of them, None if not known.
    `tokens` is by the kinds of `usage.TOKENS`, `money` in the currency of the prices, None without prices. Unless `complete`, it
    was more than that: a try was killed, or something was not counted.
    """

    wall_s: float
    cpu_s: float
    gpu_s: float
    peak_bytes: int
    peak_gpu_bytes: int | None = None
    tokens: Mapping[str, int] = field(default_factory=dict)
    money: float | None = None
    tries: int = 1
    complete: bool = True

    def __add__(self, other: "Cost") -> "Cost":
        """Both together, one after the other: sums, and of memory the larger."""
        return Cost(
            wall_s=self.wall_s + other.wall_s,
            cpu_s=self.cpu_s + other.cpu_s,
            gpu_s=self.gpu_s + other.gpu_s,
            peak_bytes=max(self.peak_bytes, other.peak_bytes),
            peak_gpu_bytes=max(_present(self.peak_gpu_bytes, other.peak_gpu_bytes), default=None),
            tokens=dict(Counter(self.tokens) + Counter(other.tokens)),
            money=sum(_present(self.money, other.money)) if _present(self.money, other.money) else None,
            tries=self.tries + other.tries,
            complete=self.complete and other.complete,
        )

    def beside(self, other: "Cost") -> "Cost":
        """Both together, at the same time: the seconds by the clock and the tries are this one's."""
        return replace(self + other, wall_s=self.wall_s, tries=self.tries)

    def numbers(self) -> dict[str, float]:
        """All of it as numbers, such as `cost.wall_s` and `cost.tokens.trained`: what MLflow and Kubeflow keep."""
        flat = records.flatten(asdict(self), _PREFIX)
        return {name: float(value) for name, value in flat.items() if value is not None}


def _present(*values: Any) -> list[Any]:
    return [value for value in values if value is not None]


def from_numbers(numbers: Mapping[str, Any]) -> Cost | None:
    """The cost among other numbers, as `Cost.numbers` writes it; None if it is not there."""
    own = {name.removeprefix(_PREFIX): value for name, value in numbers.items() if name.startswith(_PREFIX)}
    if not all(records.is_number(value) and math.isfinite(value) for value in own.values()) or "wall_s" not in own:
        return None
    tokens = {name.removeprefix("tokens."): int(value) for name, value in own.items() if name.startswith("tokens.")}
    return Cost(
        wall_s=own["wall_s"],
        cpu_s=own.get("cpu_s", 0.0),
        gpu_s=own.get("gpu_s", 0.0),
        peak_bytes=int(own.get("peak_bytes", 0)),
        peak_gpu_bytes=int(own["peak_gpu_bytes"]) if "peak_gpu_bytes" in own else None,
        tokens=tokens,
        money=own.get("money"),
        tries=int(own.get("tries", 1)),
        complete=bool(own.get("complete", 1)),
    )


def total(costs: Iterable[Cost | None]) -> Cost | None:
    """The sum of those that are there, None if none is; not complete where one is missing."""
    everything = list(costs)
    present = [cost for cost in everything if cost is not None]
    if not present:
        return None
    whole = sum(present[1:], present[0])
    return replace(whole, complete=whole.complete and len(present) == len(everything))


def result(outputs: Mapping[str, Path]) -> Path:
    """The output of a stage that its cost belongs to: the metrics, or the first of a stage without them."""
    return outputs.get("metrics") or next(iter(outputs.values()))


def write(stage: str, result: Path, cost: Cost) -> None:
    """Keeps the cost of the file `result` of a stage; a later run with the same result replaces it."""
    records.write_json(_file(stage, result), asdict(cost))


def read(stage: str, result: Path) -> Cost | None:
    """The cost of the file `result` of a stage; None if it is not recorded here, such as that of another machine's run."""
    if not result.is_file():
        return None
    file = _file(stage, result)
    if not file.is_file():
        return None
    try:
        return Cost(**records.read_json(file))
    except TypeError:
        raise InputError(f"{file}: no cost of a stage, as this version writes it; delete the file") from None


def numbers(stage: str, result: Path) -> dict[str, float]:
    """The recorded cost of the file `result` of a stage as numbers, for Kubeflow; none if there is no record."""
    cost = read(stage, result)
    return {} if cost is None else cost.numbers()


def write_sum(stage: str, result: Path, parts: Iterable[Mapping[str, Any]]) -> None:
    """Keeps as the cost of `result` the sum of those among the numbers of its parts, which several tasks have made.

    It has the tries of the task that took most: the parts are no tries of one another.
    """
    costs = [from_numbers(part) for part in parts]
    cost = total(costs)
    if cost is not None:
        write(stage, result, replace(cost, tries=max(part.tries for part in costs if part is not None)))


def _file(stage: str, result: Path) -> Path:
    return config.work_root() / FOLDER / f"{stage}-{records.digest(result)[:16]}.json"
