"""A clock for clients of an endpoint, so that tests do not wait."""

import threading


class PausesOnly:
    """A clock that goes on by the pauses alone, each of which it notes in `pauses`."""

    def __init__(self, pauses: list[float]) -> None:
        self.pauses, self.seconds = pauses, 0.0

    def now(self) -> float:
        return self.seconds

    def wait(self, changed: threading.Condition, seconds: float | None) -> None:
        if seconds is None:
            changed.wait()
            return
        if seconds >= 0.5:  # else it keeps requests apart
            self.pauses.append(seconds)
        self.seconds += seconds
