"""What the arguments of `sense own` name: SQLite files, folders of them, folders of tables, and URLs of database servers."""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sense.config import OwnConfig, environment
from sense.database_servers.url import open_server, parse_url
from sense.errors import InputError, UserError
from sense.own import file_source, server_source
from sense.own.file_source import FileSource
from sense.own.server_source import ServerSource
from sense.own.sqlite_source import SqliteSource
from sense.own.tables import OwnSource
from sense.sql.database_file import sqlite_files

_NAMED = re.compile(r"([A-Za-z0-9][\w-]{0,99})=(.+)", re.DOTALL)
_SQLITE_ENDINGS = (".sqlite", ".sqlite3", ".db", ".db3", ".s3db")
_VARIABLE = "env:"
_DIALECTS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql"}


@dataclass(frozen=True)
class NamedSource:
    """A source and the name of its copy: `path` is a SQLite file or a folder of tables; else `url` is the URL of a server.

    `where` says in messages where it comes from, without a secret.
    """

    name: str
    where: str
    path: Path | None = None
    url: str = ""

    @property
    def dialect(self) -> str:
        """The dialect of its SQL, as sqlglot calls it; files of tables have SQLite's."""
        return _DIALECTS.get(parse_url(self.url, self.where).get_backend_name(), "sqlite") if self.url else "sqlite"

    def open(self, config: OwnConfig) -> AbstractContextManager[OwnSource]:
        """The source, opened to be read; InputError or EndpointError if that can't be."""
        if self.path is None:
            limits = server_source.limits(config.scan, config.timeout_s)
            server = open_server(self.url, self.where, limits, 1)
            if isinstance(server, Path):
                return SqliteSource(server, config.tables, config.scan)
            return ServerSource(server, self.name, config.tables, config.scan)
        if self.path.is_dir():
            return FileSource(self.path, config.tables, config.scan)
        return SqliteSource(self.path, config.tables, config.scan)


def parse_sources(arguments: Sequence[str]) -> list[NamedSource]:
    """The sources that `arguments` name, in their order; UserError says what is wrong with one."""
    if not arguments:
        raise UserError(
            "no database is named; give SQLite files, folders of CSV or Parquet files, or URLs (sense own shop.sqlite), or list "
            "them under data.own.sources in params.yaml"
        )
    sources = [source for argument in arguments for source in _parse(argument)]
    names = [source.name.lower() for source in sources]
    for source in sources:
        if names.count(source.name.lower()) > 1:
            raise UserError(
                f"{source.where}: two databases are called {source.name!r}; name one of them anew: NAME={source.where}"
            )
    return sources


def _parse(argument: str) -> list[NamedSource]:
    match = _NAMED.fullmatch(argument)
    name, rest = (match[1], match[2]) if match and not Path(argument).exists() else ("", argument)
    if rest.startswith(_VARIABLE):
        return [_from_variable(name, rest.removeprefix(_VARIABLE))]
    if "://" in rest:
        return [_from_url(name, rest)]
    path = Path(rest)
    if path.is_file():
        return [NamedSource(name or _name(path.stem, rest), rest, path)]
    if path.is_dir():
        return _from_folder(name, path)
    raise InputError(f"{rest}: no such file or folder; name a SQLite file, a folder, a URL or {_VARIABLE}VARIABLE")


def _from_folder(name: str, folder: Path) -> list[NamedSource]:
    """The databases in a folder: each SQLite file, or all CSV and Parquet files together."""
    databases = [file for file in sorted(folder.iterdir()) if file.is_file() and file.suffix.lower() in _SQLITE_ENDINGS]
    databases += [inner / f"{inner.name}.sqlite" for inner in sorted(folder.iterdir()) if inner.is_dir() and sqlite_files(inner)]
    databases = [file for file in databases if not file.name.startswith(".") and file.is_file()]
    tables = file_source.table_files(folder)
    if databases and tables:
        raise InputError(
            f"{folder}: holds both SQLite files ({databases[0].name}) and tables ({next(iter(tables.values())).name}); name the "
            "files that you mean, or put the tables into a folder of their own"
        )
    if tables:
        return [NamedSource(name or _name(folder.resolve().name, str(folder)), str(folder), folder)]
    if not databases:
        raise InputError(
            f"{folder}: holds no database: no file *{', *'.join(_SQLITE_ENDINGS)}, no folder NAME/NAME.sqlite, and no file "
            f"*{', *'.join(file_source.ENDINGS)}; name the folder that does"
        )
    if name and len(databases) > 1:
        raise UserError(f"{folder}: {len(databases)} databases cannot all be called {name!r}; leave the name out")
    return [NamedSource(name or _name(file.stem, str(file)), str(file), file) for file in databases]


def _from_variable(name: str, variable: str) -> NamedSource:
    where = f"the environment variable {variable[:100]}"
    url = environment(variable)
    if not url:
        raise UserError(f"{where} is not set; set it to the database's URL")
    return NamedSource(name or _name(parse_url(url, where).database or "", where), where, None, url)


def _from_url(name: str, text: str) -> NamedSource:
    where = "the URL"
    url = parse_url(text, where)
    if url.password or any("pass" in key.lower() for key in url.query):
        raise UserError(
            f"{where} holds a password, which others can read in the list of processes; put the URL into an environment variable "
            f"and name that: {_VARIABLE}VARIABLE"
        )
    where = f"the URL of {url.host or 'localhost'}/{url.database or ''}"
    return NamedSource(name or _name(url.database or "", where), where, None, text)


def _name(stem: str, where: str) -> str:
    """A name for a database's folder and file, of letters, digits, - and _."""
    name = re.sub(r"[^\w-]+", "_", Path(stem).stem).strip("_-")
    if not name:
        raise UserError(f"{where}: its database has no name that can be a file's; give it one: NAME={where}")
    return name
