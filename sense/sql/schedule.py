"""Which worker judges which task, and when."""

from collections.abc import Sequence

from sense.sql.judge import Ruling, Task, gold_error, worst
from sense.sql.pool import Unit
from sense.sql.process import End, Worker
from sense.sql.statement import Place


class Schedule:
    """Tasks in an order that keeps workers on their databases, the most work first.

    `costs` are relative. A worker stays on a database as long as that has tasks; then it takes the database with the
    most work left that nobody is on, or helps on the one with the most.
    """

    def __init__(self, tasks: Sequence[Task], costs: Sequence[float]) -> None:
        self._tasks: dict[tuple[Place, ...], list[tuple[float, int, Task]]] = {}
        for number, (task, cost) in enumerate(zip(tasks, costs, strict=True)):
            self._tasks.setdefault(task.places, []).append((cost, number, task))
        for waiting in self._tasks.values():
            waiting.sort(key=lambda entry: entry[:2])
        self._on: dict[Worker, tuple[Place, ...]] = {}

    def take(self, worker: Worker) -> Unit | None:
        """The next task of a worker."""
        places = self._on.get(worker)
        if places not in self._tasks:
            taken = {places for other, places in self._on.items() if not other.ended}
            free = [places for places in self._tasks if places not in taken] or list(self._tasks)
            if not free:
                return None
            places = max(free, key=lambda places: sum(cost for cost, _, _ in self._tasks[places]))
            self._on[worker] = places
        waiting = self._tasks[places]
        _, number, task = waiting.pop()
        if not waiting:
            del self._tasks[places]
        places_sent = tuple(tuple(place) for place in task.places)
        head = ("judge", task.mode, places_sent, task.gold, task.ordered, task.keys)
        return Unit(number, head, task.predictions, lambda end: _ended(task, end))


def _ended(task: Task, end: End) -> Ruling:
    if end.number < 0:
        return gold_error(end.failure)
    verdict, detail, limit = end.failure
    return Ruling(False, verdict, detail, limit=limit, score=worst(task.mode))
