"""The databases of a benchmark: copied with all their rows, or the reason why one cannot be used, and what mends it.

A database that is not at its place is looked for: archives are unpacked one folder too deep, files have another ending or are
spelt in other letters, Git LFS and DVC leave pointers.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path

from sense.errors import InputError
from sense.ingest.source import UnusableDatabase
from sense.sql.database_file import DatabaseFile, sqlite_files
from sense.sql.snapshot import copy_database, foreign_content, unreadable

_DATABASE_ENDINGS = (".sqlite", ".sqlite3", ".db", ".db3", ".s3db", ".sqlitedb")
_ELSEWHERE = ("database in the wrong folder", "database file of another name", "database is packed")  # the likeliest first
_DEPTH = 3  # folders below that of the databases in which one is looked for
_PACKED_ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".tar", ".tgz")


class DatabaseFolders:
    """Folders of <db_id>/<db_id>.sqlite; a database is taken from the first that has it."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def write_database(self, db_id: str, folder: Path) -> UnusableDatabase | None:
        """Copies a database, with the test suite beside it, into `folder`; returns why it cannot be used, if so."""
        for origin in self._folders:
            if (origin / db_id / f"{db_id}.sqlite").is_file():
                return _copy_folder(origin / db_id, folder)
        places = [origin / db_id / f"{db_id}.sqlite" for origin in self._folders]
        link = next((place for place in places if place.is_symlink()), None)
        if link is not None:
            fix = "fetch what the links lead to (dvc pull, git annex get), or copy the databases instead"
            return UnusableDatabase("missing database", f"{link} leads to {link.readlink()}, where there is no file", fix)
        others = [
            other
            for origin, files in self._files.items()
            for file in files.get(db_id.lower(), ())
            if (other := _other_place(origin, file, db_id)) is not None
        ]
        if others:
            return min(others, key=lambda other: _ELSEWHERE.index(other.reason))
        where = " or ".join(str(place) for place in places)
        return UnusableDatabase(
            "missing database", f"there is no {where}", "put the databases there, or take their questions out"
        )

    @cached_property
    def _files(self) -> dict[Path, dict[str, list[Path]]]:
        """The files below each folder by their lower-case names without endings."""
        return {origin: _files_by_name(origin) for origin in self._folders}


def broken_database(folder: Path, origin: Path) -> UnusableDatabase | None:
    """Why one of the databases in `folder` cannot be used, if so: SQLite has to read its schema, with a table in it.

    They are copies or were made just now; `origin` is the folder whose file of the same name the user can mend.
    """
    for file in sqlite_files(folder):
        size, whole_size = file.stat().st_size, _size_in_header(file)
        if size < whole_size:
            return _broken(origin / file.name, sqlite3.DatabaseError(f"cut short: {size:,} of {whole_size:,} bytes"))
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            try:
                (tables,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()
            except sqlite3.DatabaseError as error:
                return _broken(origin / file.name, error)
        if not tables:
            return _broken(origin / file.name, sqlite3.DatabaseError("there is no table in it"))
    return None


def _size_in_header(file: Path) -> int:
    """The bytes that the file has by its header; 0 if that does not say. SQLite reads the end that is missing as zeros."""
    with file.open("rb") as stream:
        header = stream.read(100)
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        return 0
    if header[24:28] != header[92:96]:  # an old SQLite wrote to it last, and did not count pages
        return 0
    page_size = int.from_bytes(header[16:18], "big")
    return int.from_bytes(header[28:32], "big") * (65_536 if page_size == 1 else page_size)


def _copy_folder(origin: Path, folder: Path) -> UnusableDatabase | None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in sqlite_files(origin):
        what = foreign_content(file)
        if what:
            reason = "database is a Git LFS pointer" if "Git LFS" in what else "broken database"
            detail, _, fix = what.partition("; ")
            return UnusableDatabase(reason, f"{file}: {detail}", fix)
        try:
            copy_database(DatabaseFile.from_path(file), folder / file.name)
        except (InputError, OSError, sqlite3.Error) as error:
            return _broken(file, error)
    return broken_database(folder, origin)


def _broken(file: Path, error: Exception) -> UnusableDatabase:
    detail, _, fix = str(error if isinstance(error, InputError) else unreadable(file, error)).partition("; ")
    return UnusableDatabase("broken database", detail, fix)


def _other_place(origin: Path, file: Path, db_id: str) -> UnusableDatabase | None:
    """What is wrong with where `file` lies or how it is called, if it may be the database."""
    place = f"{db_id}/{db_id}.sqlite"
    ending = file.name[len(db_id) :].lower()
    in_folder, misnamed, packed = _ELSEWHERE
    if file.name == f"{db_id}.sqlite":
        fix = f"put it at {origin / place}, and the others alike"
        if file.parent.parent == origin / db_id:
            fix = f"move what is in {file.parent} up to {file.parent.parent}, and the others alike"
        elif file.parent.name == db_id:
            fix = f"move what is in {file.parent.parent} to {origin}"
        return UnusableDatabase(in_folder, f"{file} is not at {origin / place}", fix)
    if ending in _DATABASE_ENDINGS:
        fix = f"call it {origin / place}, and the others alike"
        return UnusableDatabase(misnamed, f"{file} is not called {place}", fix)
    if ending.endswith(_PACKED_ENDINGS):
        return UnusableDatabase(packed, f"{file} holds it", f"unpack it to {origin / place}, and the others alike")
    return None


def _files_by_name(origin: Path) -> dict[str, list[Path]]:
    """The files below a folder by their lower-case names without endings, as deep as an archive may have put them."""
    files: dict[str, list[Path]] = {}
    for parent, folders, names in os.walk(origin):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        if len(Path(parent).relative_to(origin).parts) >= _DEPTH:
            folders.clear()
        for name in sorted(names):
            if not name.startswith("."):
                files.setdefault(_stem(name).lower(), []).append(Path(parent, name))
    return files


def _stem(name: str) -> str:
    """The name without the endings that a database or an archive of it may have."""
    for endings in (_PACKED_ENDINGS, _PACKED_ENDINGS, _DATABASE_ENDINGS):
        name = next((name[: -len(ending)] for ending in endings if name.lower().endswith(ending)), name)
    return name
