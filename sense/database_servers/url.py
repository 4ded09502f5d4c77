"""URLs of databases: which can be opened, and how."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from sense.config import ExecutionConfig
from sense.database_servers.server import DatabaseServer
from sense.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import URL

_DRIVERS = {"postgresql": ("psycopg", "psycopg[binary]"), "mysql": ("pymysql", "pymysql"), "mariadb": ("pymysql", "pymysql")}


def open_server(text: str, where: str, limits: ExecutionConfig, connections: int) -> DatabaseServer | Path:
    """The database of the SQLAlchemy URL `text`, not yet connected to; the file, if the URL is SQLite's.

    UserError says what is wrong with the URL, which stands in `where`, without showing any of it: the fault may be where the
    password begins.
    """
    from sqlalchemy.exc import ArgumentError

    url = parse_url(text, where)
    backend, _, driver = url.drivername.partition("+")
    if backend == "sqlite":
        return _sqlite_file(where, url)
    if backend not in _DRIVERS:
        raise UserError(
            f"{where} is a URL of {backend[:40]!r}, which cannot be held to reading; use postgresql, mysql, mariadb or sqlite"
        )
    required, package = _DRIVERS[backend]
    if driver not in ("", required):
        raise UserError(
            f"{where} names the driver {driver[:40]!r}, whose time limits are not known; write {backend}+{required}://"
        )
    if importlib.util.find_spec(required) is None:
        raise UserError(f"{where} needs the Python package {required}; install it: pip install '{package}'")
    try:
        return DatabaseServer(url.set(drivername=f"{backend}+{required}"), limits, connections)
    except (ValueError, TypeError, ArgumentError):  # of the options behind the question mark
        raise UserError(
            f"{where} has an option whose value is of another kind; mend what stands behind its question mark"
        ) from None


def parse_url(text: str, where: str) -> "URL":
    """The parts of a SQLAlchemy URL; UserError, which shows none of it, if it is none."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise UserError(
            f"{where} does not hold a SQLAlchemy URL; write e.g. postgresql://USER:PASSWORD@HOST/DATABASE, special characters "
            "of the password percent-encoded"
        ) from None


def _sqlite_file(where: str, url: "URL") -> Path:
    path = url.database or ""
    if path in ("", ":memory:") or path.startswith("file:"):
        raise UserError(f"{where} names no SQLite file; write sqlite:////absolute/path/to/file.sqlite")
    return Path(path)
