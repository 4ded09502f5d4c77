"""What the gateway writes on stderr: one JSON object a line, without questions, SQL, rows, keys, addresses or query strings.

Of an exception it writes types and places, as its message and its lines may hold data. Of other libraries' messages
it writes uvicorn's, which know of no data (its access log, which does, is off), and of the rest where they came from.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

LOG = logging.getLogger("sense.serving")
_FRAMES = 12  # innermost places of an exception
_SPOKEN = ("sense", "uvicorn")  # loggers whose messages hold no request's data


class Lines(logging.Formatter):
    """A record as a line of JSON; `event` and `fields` come by `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; json.dumps leaves no line break in it."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "log"),
        }
        fields = getattr(record, "fields", None)
        if fields is None:
            fields = {"logger": record.name, "place": f"{record.module}:{record.lineno}"}
            if record.name.partition(".")[0] in _SPOKEN:
                fields["message"] = record.getMessage().strip().partition("\n")[0]
        if record.exc_info and record.exc_info[1] is not None:
            fields = fields | error_fields(record.exc_info[1])
        return json.dumps(line | fields)


def error_fields(error: BaseException) -> dict[str, Any]:
    """An exception's type, those behind it, and where it came from."""
    kinds: list[str] = []
    current: BaseException | None = error
    while current is not None and len(kinds) < 5:
        kinds.append(type(current).__name__)
        current = current.__cause__ or current.__context__
    places = [f"{frame.f_globals.get('__name__', '?')}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)]
    return {"error": kinds[0], "because": kinds[1:], "at": places[-_FRAMES:]}


def event(level: int, name: str, error: BaseException | None = None, /, **fields: Any) -> None:
    """Writes a line."""
    LOG.log(level, name, extra={"event": name, "fields": fields}, exc_info=error)


def configure(level: str, stream: TextIO | None = None) -> None:
    """Makes all of this process's logging lines of JSON: ours from `level` on, warnings of the rest."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Lines())
    handler.addFilter(
        lambda record: not (record.name == "uvicorn.error" and record.module == "on")
    )  # starting is told by `command`
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    logging.getLogger("sense").setLevel(level.upper())
    logging.captureWarnings(True)
