"""The databases that may be asked, by name: SQLite files in folders, and others by URL; all of them read-only.

A name comes from a listing of the folders when the gateway starts, or from its configuration, and is looked up in a dict: no
request's text ever becomes part of a path. Symbolic links are followed, out of the folder too: who can put one there is who
says what may be asked, and DVC and Kubernetes put links there.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from sense.config import DatabasesConfig, LimitsConfig
from sense.errors import UserError
from sense.schema import Schema
from sense.serving.backend import BackendError
from sense.serving.remote import RemoteDatabase, connected
from sense.serving.sqlite import Executors, SqliteDatabase, listed
from sense.sql.result import Outcome

_LONGEST = 200  # bytes of a name: it is the name of a folder and of a file where feedback is kept


class UnknownDatabaseError(UserError):
    """Nobody has given the gateway a database of this name."""


class Database(Protocol):
    """One database. All methods block: call them in a thread; they may be called from several at once."""

    @property
    def name(self) -> str:
        """What requests call it."""
        ...

    @property
    def dialect(self) -> str:
        """sqlite, postgresql or mysql."""
        ...

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for what lies on a server."""
        ...

    def schema(self, samples: int) -> Schema:
        """Its schema with up to `samples` values a column, at most a minute old, or the last known one while it is read again.

        BackendError if it can't be read now.
        """
        ...

    def run(self, sqls: Sequence[str]) -> list[Outcome]:
        """The outcomes of SQL in SQLite's dialect, in order: SELECTs alone, read-only, within the limits; no path in a detail."""
        ...

    def native(self, sql: str) -> str:
        """`sql`, which has run, as the database itself was given it."""
        ...

    def close(self) -> None:
        """Lets go of connections."""
        ...


class Catalog:
    """All databases; `executors` run SQL on SQLite files. UserError names each one that can't be used, and the fix.

    A database on a server that can't be reached is none of those: it comes back by itself. `away` says which, and why.
    """

    def __init__(self, config: DatabasesConfig, limits: LimitsConfig) -> None:
        self.executors = Executors(limits.execution, limits.concurrency)
        files = listed([Path(folder) for folder in config.folders])
        self._databases: dict[str, Database] = {}
        try:
            for name, path in files.items():
                self._databases[name] = SqliteDatabase(_checked(name, str(path)), path, self.executors)
            for name, variable in config.urls.items():
                if name in files:
                    raise UserError(f"two databases are called {name!r}: {files[name]} and databases.urls.{name}; rename one")
                self._databases[name] = self._remote(_checked(name, f"databases.urls.{name}"), variable, limits)
            if not self._databases:
                raise UserError(
                    f"there is no database to ask in {', '.join(config.folders) or 'databases.folders (empty)'}; give folders of "
                    "<name>/<name>.sqlite or <name>.sqlite (--databases), or databases.urls"
                )
            broken = [reason for database in self._databases.values() if database.file and (reason := _unreadable(database))]
            if broken:
                raise UserError(
                    "\n".join([*broken, "mend or replace what is broken, or leave it out of the gateway's databases"])
                )
            self.away = [reason for one in self._databases.values() if one.file is None and (reason := _unreadable(one))]
        except BaseException:
            self.close()
            raise

    def _remote(self, name: str, variable: str, limits: LimitsConfig) -> Database:
        found = connected(name, variable, limits)
        return found if isinstance(found, RemoteDatabase) else SqliteDatabase(name, found, self.executors)

    def names(self) -> list[str]:
        """The names, sorted."""
        return sorted(self._databases)

    def get(self, name: str) -> Database:
        """The database of this name; UnknownDatabaseError if there is none."""
        found = self._databases.get(name)
        if found is None:
            raise UnknownDatabaseError(f"there is no database {name[:200]!r}; GET /v1/databases lists those there are")
        return found

    def check(self) -> list[str]:
        """The names of the databases that can't be read now; blocks, for seconds where a server does not answer."""
        return [name for name in self.names() if _unreadable(self._databases[name])]

    def warm(self) -> None:
        """Starts what executes SQL on files before it is needed; blocks. What fails here, a request will be told."""
        file = next((database.file for database in self._databases.values() if database.file is not None), None)
        if file is not None:
            with suppress(BackendError):
                self.executors.warm(file)

    def close(self) -> None:
        """Ends workers and connections; what still runs ends with an outcome."""
        for database in self._databases.values():
            database.close()
        self.executors.close()


def _checked(name: str, where: str) -> str:
    if name.startswith(".") or "/" in name or not name.isprintable() or not 0 < len(name.encode()) <= _LONGEST:
        raise UserError(
            f"{where!a}: a database cannot be called {name!a}; give it a name of at most {_LONGEST} bytes that can be printed, "
            "without a slash and without a dot at its beginning"
        )
    return name


def _unreadable(database: Database) -> str:
    """Why a database can't be read now; empty if it can."""
    try:
        database.schema(0)
    except BackendError as error:
        return ": ".join([str(database.file or database.name), error.reason, *getattr(error, "__notes__", [])])
    return ""
