"""The gateway's databases by name: SQLite files in folders, and others by URL; all of them are read-only.

Names come from a listing of the folders when the gateway starts, or from its configuration, and are looked up in a dict: no
request's text ever becomes part of a path. Symbolic links are followed, out of the folder too: whoever can put one there decides
which databases are served anyway, and DVC and Kubernetes put links there.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from sense.config import DatabasesConfig, LimitsConfig
from sense.errors import UserError
from sense.schema import Schema
from sense.serving.backend import BackendError
from sense.serving.remote import RemoteDatabase, open_url
from sense.serving.sqlite import ExecutorPool, SqliteDatabase, find_sqlite_files
from sense.sql.execute import Executor
from sense.sql.result import Outcome

_LONGEST_NAME = 200  # bytes: it is also the name of a folder and of a file where feedback is kept


class UnknownDatabaseError(UserError):
    """The gateway has no database of this name."""


class Database(Protocol):
    """A database. All methods block, so call them in threads; several may call them at once."""

    @property
    def name(self) -> str:
        """The name that requests give."""
        ...

    @property
    def dialect(self) -> str:
        """sqlite, postgresql or mysql."""
        ...

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for a database on a server."""
        ...

    def schema(self, samples: int) -> Schema:
        """Its schema with up to `samples` values a column, at most a minute old, or the last known one while it is read again.

        BackendError if it can't be read now.
        """
        ...

    def check(self, executor: Executor) -> None:
        """Raises BackendError if questions could not be answered from it now; `executor` is for SQL on files."""
        ...

    def run(self, sqls: Sequence[str]) -> list[Outcome]:
        """The outcomes of SQL in SQLite's dialect, in order: SELECTs alone, read-only, within the limits; no path in a detail.

        BackendError if the database can't be read now.
        """
        ...

    def native(self, sql: str) -> str:
        """`sql`, which has run, in the dialect in which the database executed it."""
        ...

    def close(self) -> None:
        """Closes connections."""
        ...


class Catalog:
    """All databases; `executors` run SQL on SQLite files. UserError names each one that can't be used, and the fix.

    A database on a server that can't be reached is no such error, as it may come back: `unreachable` lists these and the reasons.
    """

    def __init__(self, config: DatabasesConfig, limits: LimitsConfig) -> None:
        self.executors = ExecutorPool(limits.execution, limits.concurrency)
        files = find_sqlite_files([Path(folder) for folder in config.folders])
        self._databases: dict[str, Database] = {}
        try:
            for name, path in files.items():
                self._databases[name] = SqliteDatabase(_check_name(name, str(path)), path, self.executors)
            for name, variable in config.urls.items():
                if name in files:
                    raise UserError(f"two databases are called {name!r}: {files[name]} and databases.urls.{name}; rename one")
                self._databases[name] = self._remote(_check_name(name, f"databases.urls.{name}"), variable, limits)
            if not self._databases:
                raise UserError(
                    f"there is no database to ask in {', '.join(config.folders) or 'databases.folders (empty)'}; give folders of "
                    "<name>/<name>.sqlite or <name>.sqlite (--databases), or databases.urls"
                )
            unreadable = self._check()
            broken = [_describe(self._databases[name], error) for name, error in unreadable if self._databases[name].file]
            if broken:
                raise UserError(
                    "\n".join([*broken, "mend or replace what is broken, or leave it out of the gateway's databases"])
                )
            self.unreachable = [_describe(self._databases[name], error) for name, error in unreadable]
        except BaseException:
            self.close()
            raise

    def _remote(self, name: str, variable: str, limits: LimitsConfig) -> Database:
        database = open_url(name, variable, limits)
        return database if isinstance(database, RemoteDatabase) else SqliteDatabase(name, database, self.executors)

    def names(self) -> list[str]:
        """The names, sorted."""
        return sorted(self._databases)

    def get(self, name: str) -> Database:
        """The database of this name; UnknownDatabaseError if there is none."""
        database = self._databases.get(name)
        if database is None:
            raise UnknownDatabaseError(f"there is no database {name[:200]!r}; GET /v1/databases lists those there are")
        return database

    def check(self) -> dict[str, str]:
        """Why databases can't be read now, by name; blocks, for seconds where a server does not answer."""
        return {name: error.reason for name, error in self._check()}

    def _check(self) -> list[tuple[str, BackendError]]:
        errors = []
        with self.executors.temporary() as executor:  # of its own: no probe waits for the questions at work
            for name in self.names():
                try:
                    self._databases[name].check(executor)
                except BackendError as error:
                    errors.append((name, error))
        return errors

    def warm(self) -> None:
        """Starts executors of SQL on files before they are needed; blocks. Errors are left to the requests that meet them."""
        file = next((database.file for database in self._databases.values() if database.file is not None), None)
        if file is not None:
            with suppress(BackendError):
                self.executors.warm(file)

    def close(self) -> None:
        """Ends workers and connections; statements that still run end with an outcome."""
        for database in self._databases.values():
            database.close()
        self.executors.close()


def _check_name(name: str, where: str) -> str:
    if name.startswith(".") or "/" in name or not name.isprintable() or not 0 < len(name.encode()) <= _LONGEST_NAME:
        raise UserError(
            f"{where!a}: a database cannot be called {name!a}; give it a name of at most {_LONGEST_NAME} bytes that can be "
            "printed, without a slash and without a dot at its beginning"
        )
    return name


def _describe(database: Database, error: BackendError) -> str:
    """Why a database can't be read, for the operator."""
    return ": ".join([str(database.file or database.name), error.reason, *getattr(error, "__notes__", [])])
