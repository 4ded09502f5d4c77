"""What the registry says of the versions in service: the champion, and a candidate beside it (a canary). Imports no mlflow."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Canary:
    """A candidate beside the champion, which gets `weight` percent of the questions until `end` says how it ended.

    `started` (UTC) identifies this start: a version that is started again, after it was aborted, is another canary.
    """

    version: str
    weight: float
    started: str
    by: str
    reason: str = ""
    end: str = ""  # aborted or promoted
    ended: str = ""  # when (UTC)
    ended_by: str = ""
    end_reason: str = ""


@dataclass(frozen=True)
class Rollout:
    """Versions by number; `canary` is the last one that was started, `alias` the version that the alias `canary` points at."""

    champion: str | None = None
    alias: str | None = None
    canary: Canary | None = None

    @property
    def running(self) -> Canary | None:
        """The canary, if it runs: alias and tag agree, it has not ended, and it is not the champion already."""
        canary = self.canary
        if canary is None or canary.end or canary.version != self.alias or canary.version == self.champion:
            return None
        return canary
