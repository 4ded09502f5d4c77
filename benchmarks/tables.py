"""How a benchmark prints what it measured: a Markdown table, as in RESULTS.md, or JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Prints rows with the same keys, in their order."""
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(str(value) for value in row.values())} |")
