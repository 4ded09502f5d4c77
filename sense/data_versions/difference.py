"""What changed between two versions of a dataset: rows, databases, and the figures that describe both."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Literal

from pydantic import Field
from sqlglot import exp

from sense.data_versions.dataset_version import DataRow, DatasetVersion
from sense.manifest import Manifest
from sense.records import HARDNESS, Record
from sense.sql.tree import parse_query

Kind = Literal["added", "removed", "changed", "moved"]
KINDS: tuple[Kind, ...] = ("added", "removed", "changed", "moved")
_CONTENT = ("question", "sql", "chosen", "rejected")
"""The fields that say what a row is about; a row has some of them."""
_COUNTED = ("hardness", "domain", "source", "verdict", "strategy", "error", "error_class")
"""The fields whose values are counted, of rows that have them."""
EVIDENCE = "with evidence"
_NOT_COMPARED = ("coverage", "digests")  # parts of a manifest that repeat what is counted here


class Figure(Record):
    """A number or other value of both versions; None where a version has none."""

    old: Any
    new: Any


class RowChange(Record):
    """A row in both versions. `fields` are those that differ, of a row that is in both."""

    old: DataRow | None = None
    new: DataRow | None = None
    fields: list[str] = Field(default_factory=list)


class DatabaseChanges(Record):
    """The db_ids of databases that only one version has, or that have other contents."""

    added: list[str]
    removed: list[str]
    changed: list[str]


class Difference(Record):
    """What changed from the version `old` to the version `new`.

    A row is `changed` if a field of the row with its id differs, and `moved` if it has another id and the same question and SQL.
    `figures` describe the versions, `counts` are rows by the values of a field, and `manifest` is what differs there.
    """

    old: str
    new: str
    figures: dict[str, Figure]
    counts: dict[str, dict[str, Figure]]
    unchanged: int
    rows: dict[Kind, list[RowChange]]
    databases: DatabaseChanges
    manifest: dict[str, Figure]


def compare(old: DatasetVersion, new: DatasetVersion) -> Difference:
    """The difference of two versions."""
    changes = _compare_rows(old.rows, new.rows)
    return Difference(
        old=old.label,
        new=new.label,
        figures={name: Figure(old=value, new=figure(new)) for name, figure in _FIGURES.items() for value in [figure(old)]},
        counts={field: counts for field in _COUNTED if (counts := _compare_counts(field, old.rows, new.rows))},
        unchanged=len(new.rows) - sum(len(changes[kind]) for kind in KINDS if kind != "removed"),
        rows=changes,
        databases=_compare_databases(old.databases, new.databases),
        manifest=_compare_manifests(old.manifest, new.manifest),
    )


def _compare_rows(old: Iterable[DataRow], new: Iterable[DataRow]) -> dict[Kind, list[RowChange]]:
    """The changes by kind, each in the order of the rows."""
    old_rows, new_rows = ({row.id: row for row in rows} for rows in (old, new))
    changes: dict[Kind, list[RowChange]] = {kind: [] for kind in KINDS}
    stays = {key for key, row in new_rows.items() if key in old_rows and _content(row) == _content(old_rows[key])}
    by_content: defaultdict[Any, list[DataRow]] = defaultdict(list)
    for key, row in reversed(old_rows.items()):
        if key not in stays:
            by_content[_content(row)].append(row)
    origins = {key: old_rows[key] for key in stays}
    for key, row in new_rows.items():
        if key not in stays and by_content[_content(row)]:
            origins[key] = by_content[_content(row)].pop()
    taken = {row.id for row in origins.values()}
    for key, row in new_rows.items():
        origin = origins.get(key)
        if origin is None and key in old_rows and key not in taken:
            origin = old_rows[key]
            taken.add(key)
        if origin is None:
            changes["added"].append(RowChange(new=row))
            continue
        fields = _different_fields(origin, row)
        if origin.id != key:
            changes["moved"].append(RowChange(old=origin, new=row, fields=fields))
        elif fields:
            changes["changed"].append(RowChange(old=origin, new=row, fields=fields))
    changes["removed"] = [RowChange(old=row) for key, row in old_rows.items() if key not in taken]
    return changes


def _content(row: DataRow) -> Any:
    """What a row is about; of rows without any such field, all but the id."""
    fields = row.model_extra or {}
    content = tuple(str(fields[name]) for name in _CONTENT if name in fields)
    return content or str(sorted(fields.items()))


def _different_fields(old: DataRow, new: DataRow) -> list[str]:
    """The fields that differ, the id left out: those of the content first, then in the order of the row."""
    one, other = old.model_extra or {}, new.model_extra or {}
    names = dict.fromkeys(name for name in (*_CONTENT, *other, *one) if name in one or name in other)
    return [name for name in names if one.get(name) != other.get(name)]


def _compare_counts(field: str, old: Iterable[DataRow], new: Iterable[DataRow]) -> dict[str, Figure]:
    """How many rows have each value of a field: levels of hardness in their order, others by name."""
    before, after = (
        Counter(str(row.model_extra[field]) for row in rows if row.model_extra and row.model_extra.get(field))
        for rows in (old, new)
    )
    values: list[str] = [level for level in HARDNESS if level in before | after] if field == "hardness" else []
    values += sorted((before | after).keys() - set(values))
    return {value: Figure(old=before[value], new=after[value]) for value in values}


def _compare_databases(old: Mapping[str, str], new: Mapping[str, str]) -> DatabaseChanges:
    return DatabaseChanges(
        added=sorted(new.keys() - old.keys()),
        removed=sorted(old.keys() - new.keys()),
        changed=sorted(db_id for db_id in old.keys() & new.keys() if old[db_id] != new[db_id]),
    )


def _compare_manifests(old: Manifest | None, new: Manifest | None) -> dict[str, Figure]:
    """The values that differ, by their keys joined with dots."""
    before, after = (
        {} if part is None else dict(_values("", part.model_dump(exclude=set(_NOT_COMPARED), exclude_none=True)))
        for part in (old, new)
    )
    keys = dict.fromkeys((*before, *after))
    return {key: Figure(old=before.get(key), new=after.get(key)) for key in keys if before.get(key) != after.get(key)}


def _values(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _values(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, value


def _evidence_share(version: DatasetVersion) -> float | None:
    """The share of rows with evidence; None of rows that have no such field."""
    values = [row.model_extra["evidence"] for row in version.rows if row.model_extra and "evidence" in row.model_extra]
    return sum(map(bool, values)) / len(values) if values else None


def _structures(version: DatasetVersion) -> int | None:
    """The number of structures of the rows' SQL; None of rows that have none."""
    queries = {str(row.model_extra["sql"]) for row in version.rows if row.model_extra and "sql" in row.model_extra}
    return len(set(map(structure, queries))) if queries else None


_FIGURES = {
    "rows": lambda version: len(version.rows),
    "databases": lambda version: len(version.databases),
    "structures": _structures,
    EVIDENCE: _evidence_share,
}


@cache
def structure(sql: str) -> str:
    """The query with one name for all tables and columns, and ? for values; what cannot be parsed is its own structure.

    >>> structure("SELECT p.name FROM pet AS p WHERE p.age > 3")
    'SELECT c FROM t WHERE c > ?'
    """
    tree = parse_query(sql)
    if tree is None:
        return " ".join(sql.split())
    for node in list(tree.find_all(exp.Column, exp.Table, exp.Alias, exp.Literal)):
        match node:
            case exp.Column():
                node.replace(exp.column("c"))
            case exp.Table():
                node.set("this", exp.to_identifier("t"))
                node.set("alias", None)
            case exp.Alias():
                node.replace(node.this)
            case _:
                node.replace(exp.Placeholder())
    return str(tree.sql(dialect="sqlite", comments=False))
