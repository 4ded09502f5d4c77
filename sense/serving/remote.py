"""Databases on servers, by SQLAlchemy URL: PostgreSQL (12 or later), MySQL and MariaDB, engines that can enforce reading.

Every statement runs in a transaction of its own that the server holds to reading and to a time limit, and that is rolled back.
SQL comes in SQLite's dialect (`translation.py`) and sees the tables of the connection's default schema. Give the URL's user
rights to read and no others: that is the last barrier.

Values come as SQLite would give them: exact decimals and booleans as numbers, dates and times as ISO text, arrays, JSON and all
else as text. No address and no password is in what is raised or returned; what only the operator may see is an exception's note.
"""

import importlib.util
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sense.config import LimitsConfig, environment
from sense.errors import UserError
from sense.schema import Schema
from sense.serving.backend import BackendError
from sense.serving.reflection import reflected
from sense.serving.refusals import Lost
from sense.serving.server import Server
from sense.serving.translation import Names, translated
from sense.sql.result import Failure, Outcome, Result

if TYPE_CHECKING:
    from sqlalchemy import URL

_DRIVERS = {"postgresql": ("psycopg", "psycopg[binary]"), "mysql": ("pymysql", "pymysql"), "mariadb": ("pymysql", "pymysql")}
_FRESH_S = 30.0  # a schema is read again after this time
_PAUSE_S = 2.0  # a server that could not be reached is left alone for so long


class RemoteDatabase:
    """A database on a server."""

    file: Path | None = None

    def __init__(self, name: str, server: Server) -> None:
        self.name, self.dialect = name, server.dialect
        self._server = server
        self._lock = threading.Lock()
        self._known: dict[int, tuple[float, Schema, Names]] = {}
        self._lost: tuple[float, Lost] | None = None

    def schema(self, samples: int) -> Schema:
        """The schema as it was at most half a minute ago, or the last known one while it is being read again.

        BackendError if the server can't be asked.
        """
        try:
            return self._reflected(samples)[0]
        except Lost as lost:
            raise self._away(lost) from None

    def _reflected(self, samples: int) -> tuple[Schema, Names]:
        """Schema and names, read by one thread at a time; others have what was last known meanwhile, or wait. Lost."""
        known = self._known.get(samples)
        if not self._lock.acquire(blocking=known is None) and known is not None:
            return known[1:]
        try:
            known = self._known.get(samples)
            if known is None or known[0] <= time.monotonic():
                known = self._known[samples] = self._read(samples)
            return known[1:]
        finally:
            self._lock.release()

    def _read(self, samples: int) -> tuple[float, Schema, Names]:
        """What the server says, with the time until which it holds; Lost."""
        if self._lost is not None and time.monotonic() < self._lost[0]:
            raise self._lost[1]
        try:
            schema, names = reflected(self._server, samples)
        except Exception as error:  # whatever is wrong with one database, the gateway starts and serves the others
            lost = error if isinstance(error, Lost) else Lost(" ".join(f"{type(error).__name__}: {error}".split())[:200])
            self._lost = time.monotonic() + _PAUSE_S, lost
            self._known.clear()  # else they would be given out, older and older, whenever the server is asked again
            raise lost from None
        return time.monotonic() + _FRESH_S, schema, names

    def run(self, sqls: Sequence[str]) -> list[Outcome]:
        """The outcomes, in order; once the server is away, it is not tried again for the others: BackendError if none has run."""
        outcomes: list[Outcome] = []
        try:
            names = self._names()
            for sql in sqls:
                text = translated(sql, self.dialect, names)
                outcomes.append(text if isinstance(text, Failure) else self._server.select(text))
        except Lost as lost:
            if not any(isinstance(outcome, Result) for outcome in outcomes):
                raise self._away(lost) from None
            outcomes += [Failure("error", str(lost))] * (len(sqls) - len(outcomes))
        return outcomes

    def _away(self, lost: Lost) -> BackendError:
        error = BackendError(f"the database {self.name!r} can't be read now: {lost}", _PAUSE_S)
        error.add_note(lost.operator)
        return error

    def native(self, sql: str) -> str:
        """The translation that the server was given; `sql` itself, if the server has gone since."""
        try:
            text = translated(sql, self.dialect, self._names())
        except Lost:
            return sql
        return sql if isinstance(text, Failure) else text

    def _names(self) -> Names:
        """The names, of whichever schema was read last: they are the same with and without sample values."""
        known = max(list(self._known.values()), key=lambda entry: entry[0], default=None)
        return known[2] if known is not None and time.monotonic() < known[0] else self._reflected(0)[1]

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self._server.close()


def connected(name: str, variable: str, limits: LimitsConfig) -> RemoteDatabase | Path:
    """The database whose URL the environment variable holds, not yet asked anything; the file, if the URL is SQLite's.

    UserError says what is wrong with the URL, without showing any of it: what is wrong may be where the password begins.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    where = f"databases.urls.{name}: the environment variable {variable}"
    text = environment(variable)
    if not text:
        raise UserError(f"{where} is not set; set it to the database's URL, or remove {name} from databases.urls")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UserError(
            f"{where} does not hold a SQLAlchemy URL; write e.g. postgresql://USER:PASSWORD@HOST/DATABASE, special characters "
            "of the password percent-encoded"
        ) from None
    backend, _, driver = url.drivername.partition("+")
    if backend == "sqlite":
        return _file(where, url)
    if backend not in _DRIVERS:
        raise UserError(
            f"{where} is a URL of {backend[:40]!r}, which cannot be held to reading; use postgresql, mysql, mariadb or sqlite"
        )
    needed, package = _DRIVERS[backend]
    if driver not in ("", needed):
        raise UserError(f"{where} names the driver {driver[:40]!r}, whose time limits are not known; write {backend}+{needed}://")
    if importlib.util.find_spec(needed) is None:
        raise UserError(f"{where} needs the Python package {needed}; install it: pip install '{package}'")
    try:
        server = Server(url.set(drivername=f"{backend}+{needed}"), limits.execution, limits.concurrency)
    except (ValueError, TypeError, ArgumentError):  # of the options behind the question mark
        raise UserError(
            f"{where} has an option whose value is of another kind; mend what stands behind its question mark"
        ) from None
    return RemoteDatabase(name, server)


def _file(where: str, url: "URL") -> Path:
    path = url.database or ""
    if path in ("", ":memory:") or path.startswith("file:"):
        raise UserError(f"{where} names no SQLite file; write sqlite:////absolute/path/to/file.sqlite")
    return Path(path)
