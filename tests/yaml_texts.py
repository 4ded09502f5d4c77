"""Texts that some reader of YAML takes for something else when they stand without quotes, and YAML read as Go reads it."""

from typing import Any

import helm_python as helm
import yaml

# what may stand in a label, a name or a key
SHORT = (
    "y Y n N yes No on ON off true True null Null 1 08 014 0o14 0x1F 0b11 0b1_1 1_000 1__0 1e5 1E5 1e-5 1e400 6.02e-23 1.5 1.5e3 "
    "190_20 2026-11-28 9223372036854775808 NaN infinity 0"
).split()
OTHERS = (
    "~|.5|.inf|-.Inf|+.inf|.nan|1.|+1|-1|-0o7|+0x1|1:30|190:20:30|12:30:45|2026-11-28T10:00:00Z|2026-11-28 10:00:00|=|<<|-|?|:"
    "|- a|a: b|a:|a #b|#x| leading|trailing |%x|@x|`x|*x|&x|!x|[x|{x|]|,|>|---|...|'|\"|it's|C:\\new|\\|é|日本|😀|$(HOME)|{{x}}"
).split("|")
BROKEN = [
    "",
    " ",
    "|",
    "\n",
    "two\nlines",
    "two\n  lines\n\n",
    "\ttab",
    "a\tb",
    "a\r\nb",
    "a\n---\nb: c\n",
    "\u2028",
    "\u00a0",
    "\ufeff",
]
TEXTS = [*SHORT, *OTHERS, *BROKEN]


def read_as_go(text: str) -> list[Any]:
    """The documents in `text` as the libraries of Kubernetes, Helm and KFP's server read them; empty ones are left out."""
    return [document for document in (helm.values_from_yaml(part) for part in text.split("\n---\n")) if document]


def read_as_python(text: str) -> list[Any]:
    """The documents in `text` as PyYAML reads them; empty ones are left out."""
    return [document for document in yaml.safe_load_all(text) if document]
