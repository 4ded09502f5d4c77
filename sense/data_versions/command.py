"""The command `sense data`: what changed between two versions, the newest one for the cluster, the removal of others."""

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sense import console
from sense.data_versions import garbage, latest
from sense.data_versions.dataset_version import DataRow, read_version
from sense.data_versions.difference import EVIDENCE, KINDS, Difference, Figure, RowChange, compare
from sense.data_versions.garbage import GarbagePlan
from sense.errors import InputError
from sense.report import text

_HELP = "rows, databases and figures of two data versions: what was added, removed, changed"
_GC_HELP = "delete from DVC's cache and remote what no registered version, no open run in MLflow and no dvc.lock here names"
_PUSH_HELP = "send a folder to a data remote as the newest version under its name, which pipeline runs take for `latest`"
_OLDER_THAN = 14.0  # days
_DAY = 86_400
_DEFAULT_PATH = Path("data/strong")
_EXAMPLES = 3  # changes of each kind that are printed
_VALUES = 10  # of more values of a field than these, those are printed whose counts changed most
_WIDTH = 1000  # rich would cut on a narrow terminal; the terminal itself wraps a line that is too long
_LENGTH = 200  # characters of a question or query


def add_arguments(parser: argparse.ArgumentParser, _name: str) -> None:
    """Adds the action and its flags."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    diff = actions.add_parser(
        "diff",
        help=_HELP,
        description=f"{_HELP[0].upper()}{_HELP[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(
            "examples:\n  sense data diff HEAD~1\n  sense data diff v1 v2 --path data/unseen\n"
            "  sense data diff old/strong data/strong"
        ),
    )
    names = "a Git revision, the md5 of data in dvc.lock, or a dataset folder or JSONL file (which goes first)"
    diff.add_argument("old", nargs="?", default="HEAD", metavar="REV1", help=f"{names}; default: HEAD")
    diff.add_argument("new", nargs="?", metavar="REV2", help="likewise; default: the workspace")
    diff.add_argument(
        "--path", type=Path, default=_DEFAULT_PATH, metavar="PATH", help=f"the data in a revision, default: {_DEFAULT_PATH}"
    )
    diff.add_argument("--json", action="store_true", help="print all of it as JSON on stdout, nothing else")
    push = actions.add_parser(
        "push",
        help=_PUSH_HELP,
        description=f"{_PUSH_HELP[0].upper()}{_PUSH_HELP[1:]}. Prints its md5.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  sense data push data/own --remote s3://bucket/prefix",
    )
    push.add_argument("folder", type=Path, metavar="FOLDER", help="such as data/own, which sense own writes")
    push.add_argument("--remote", required=True, metavar="REMOTE", help="s3://bucket/prefix or a folder: cluster.remote")
    _add_gc(actions)


def _add_gc(actions: Any) -> None:
    gc = actions.add_parser(
        "gc",
        help=_GC_HELP,
        description=f"{_GC_HELP[0].upper()}{_GC_HELP[1:]}. Without --yes it only shows what would go.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  sense data gc\n  sense data gc --remote s3://bucket/prefix --older-than 30 --yes",
    )
    gc.add_argument("--yes", action="store_true", help="delete; without it nothing is deleted")
    remote_help = "the name of one of this project's remotes, or s3://bucket/prefix or a folder; default: its default remote"
    gc.add_argument("--remote", metavar="REMOTE", help=remote_help)
    age_help = f"what was written, and runs that ended, in the last DAYS days stay; default: {_OLDER_THAN:g}"
    gc.add_argument("--older-than", type=_days, default=_OLDER_THAN, metavar="DAYS", help=age_help)
    gc.add_argument("--all-commits", action="store_true", help="keep what dvc.lock names in any Git commit too")


def _days(value: str) -> float:
    try:
        days = float(value)
    except ValueError:
        days = -1
    if not 0 <= days < math.inf:
        raise argparse.ArgumentTypeError(f"{value!r}: give a number of days, 0 or more")
    return days


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    if options.action == "gc":
        _collect_garbage(options)
        return 0
    if options.action == "push":
        print(latest.push(options.folder, options.remote))
        return 0
    console.quiet(options.json)
    difference = compare(read_version(options.old, options.path), read_version(options.new, options.path))
    if options.json:
        print(json.dumps(difference.model_dump(exclude_none=False), ensure_ascii=False))
    else:
        _print(difference)
    return 0


def _collect_garbage(options: argparse.Namespace) -> None:
    from sense import tracking

    address = tracking.check_registry()  # before anything else: without it nobody knows what is named
    youngest = time.time() - options.older_than * _DAY
    with garbage.open_project(options.remote) as project:
        stores = garbage.list_stores(project)  # first: what is pushed from now on is in no plan
        references = tracking.data_references(open_since=youngest)
        if not references:
            raise InputError(
                f"{address}: no registered version and no open run names data; if this is not the store that you publish to, set "
                "MLFLOW_TRACKING_URI, else use dvc gc --workspace"
            )
        references += garbage.latest_references(stores) + garbage.workspace_references(project, options.all_commits)
        plan = garbage.plan(stores, references, youngest)
        _print_plan(plan, options)
        if options.yes:
            for store, objects in plan.garbage:
                garbage.delete(store, objects)


def _print_plan(plan: GarbagePlan, options: argparse.Namespace) -> None:
    out = Console(width=_WIDTH, highlight=False)
    table = _table("what stays", "", "objects", "bytes")
    for holding in plan.holdings:
        table.add_row(_plain(holding.label), text.number(holding.objects), text.number(holding.size))
    out.print(table)
    lines = [f"{row.label}: not here, or not whole: {', '.join(row.missing)}" for row in plan.holdings if row.missing]
    if plan.young:
        lines.append(f"{plan.young:,} more objects stay: they are younger than {options.older_than:g} days")
    for store, objects in plan.garbage:
        size = sum(one.size for one in objects.values())
        lines.append(f"{store.name}: {len(objects):,} of {len(store.objects):,} objects go, {size:,} bytes")
    if not options.yes:
        lines.append("nothing is deleted yet: the same command with --yes deletes it")
    for line in lines:
        out.print(_plain(line), soft_wrap=True)


def _print(difference: Difference) -> None:
    out = Console(width=_WIDTH, highlight=False)
    table = _table(f"{difference.old} -> {difference.new}", "", "old", "new", "change")
    for name, figure in difference.figures.items():
        if figure.old is not None or figure.new is not None:
            table.add_row(name, *_cells(figure, share=name == EVIDENCE))
    for field, counts in difference.counts.items():
        for row in _count_rows(field, counts):
            table.add_row(*row)
    out.print(table)
    if difference.manifest:
        table = _table("manifest", "", "old", "new", "change")
        for key, figure in difference.manifest.items():
            table.add_row(_plain(key), *_cells(figure, share=key.endswith("rate")))
        out.print(table)
    for line in (*_database_lines(difference), *_row_lines(difference)):
        out.print(_plain(line), soft_wrap=True)


def _count_rows(field: str, counts: Mapping[str, Figure]) -> Iterator[tuple[str | Text, ...]]:
    """A line for each value of a field; of many values, for those whose counts changed most."""
    rows = list(counts.items())
    if len(rows) > _VALUES:
        different = [(value, figure) for value, figure in rows if figure.old != figure.new]
        rows = sorted(different, key=lambda row: -abs(row[1].new - row[1].old))[:_VALUES]
    for value, figure in rows:
        yield _plain(f"{field} {value}"), *_cells(figure)
    if len(rows) < len(counts):
        rest = [figure for value, figure in counts.items() if value not in dict(rows)]
        yield (
            f"{field}, {len(rest)} others",
            *_cells(Figure(old=sum(figure.old for figure in rest), new=sum(figure.new for figure in rest))),
        )


def _cells(figure: Figure, share: bool = False) -> tuple[str | Text, ...]:
    """Both values and their change; of a share in percentage points."""
    old, new = figure.old, figure.new
    numbers = [value for value in (old, new) if isinstance(value, int | float) and not isinstance(value, bool)]
    both = len(numbers) == 2 and old != new
    if share:
        return text.percent(old), text.percent(new), text.percentage_points(new - old) if both else ""
    change = "" if not both else f"{new - old:+,}" if isinstance(new - old, int) else f"{new - old:+.3g}"
    return _cell(old), _cell(new), change


def _cell(value: Any) -> Text:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return _plain(text.number(value) if value is None or is_number else str(value))


def _database_lines(difference: Difference) -> Iterator[str]:
    for kind, db_ids in difference.databases.model_dump().items():
        if db_ids:
            more = f" and {len(db_ids) - _EXAMPLES:,} more" if len(db_ids) > _EXAMPLES else ""
            yield f"databases {kind}: {len(db_ids):,}: {', '.join(db_ids[:_EXAMPLES])}{more}"


def _row_lines(difference: Difference) -> Iterator[str]:
    """The number of changes of each kind, with the first of them."""
    counts = [f"{len(difference.rows[kind]):,} {kind}" for kind in KINDS if difference.rows[kind]]
    yield f"rows: {', '.join([*counts, f'{difference.unchanged:,} unchanged'])}"
    for kind in KINDS:
        changes = difference.rows[kind]
        if changes:
            fields = Counter(field for change in changes for field in change.fields)
            by_field = f" ({', '.join(f'{field} {count:,}' for field, count in fields.most_common())})" if fields else ""
            yield f"{kind}{by_field}:"
            for change in changes[:_EXAMPLES]:
                yield from _change_lines(change)
            if len(changes) > _EXAMPLES:
                yield f"  ... and {len(changes) - _EXAMPLES:,} more"


def _change_lines(change: RowChange) -> Iterator[str]:
    old, new = change.old, change.new
    if old is None or new is None:
        row, sign = (new, "+") if new is not None else (old, "-")
        if row is not None:
            yield f"  {sign} {row.id}: {_excerpt(_summary(row))}"
        return
    yield f"  {old.id} -> {new.id}: {_excerpt(_summary(new))}" if old.id != new.id else f"  {new.id}:"
    for field in change.fields:
        for sign, row in (("-", old), ("+", new)):
            yield f"    {sign} {field}: {_excerpt((row.model_extra or {}).get(field, ''))}"


def _summary(row: DataRow) -> str:
    """The question and SQL of a row, or what it has of them; all of another."""
    fields = row.model_extra or {}
    values = [str(fields[name]) for name in ("question", "sql", "rejected") if fields.get(name)]
    return " | ".join(values) or str(fields)


def _excerpt(value: Any) -> str:
    line = " ".join(str(value).split())
    return line if len(line) <= _LENGTH else f"{line[:_LENGTH]}…"


def _plain(value: str) -> Text:
    """Text that somebody else wrote, safe to print."""
    return Text(text.printable(value))


def _table(title: str, *columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, title=_plain(title), title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    return table
