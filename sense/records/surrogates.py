"""Halves of surrogate pairs: JSON can spell them (`"\\ud83d"`), and no file in UTF-8 can hold them."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sense.errors import InputError

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def check_surrogates(text: str, where: str, value: Any = None) -> None:
    """InputError that names the place, if a text in JSON holds half of a surrogate pair; `value` is the JSON, if it is parsed."""
    if not _SURROGATE_ESCAPE.search(text):
        return
    try:
        place = find_surrogate(json.loads(text) if value is None else value)
    except (ValueError, RecursionError):
        return
    if place is not None:
        name = place.removeprefix(".") or "its text"
        raise InputError(
            f"{where}: {name} holds half of a surrogate pair, as a cut through an emoji leaves it; that is no character: "
            "delete its \\u escape (places in lists are counted from 0)"
        )


def find_surrogate(value: Any) -> str | None:
    """Where in the values of JSON the first text stands that UTF-8 cannot hold (`[3].question`); None if there is none.

    JSON can spell half of a surrogate pair (`"\\ud83d"`), and no file can be written with it.
    """
    if isinstance(value, str):
        return "" if _SURROGATE.search(value) else None
    items: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        if any(_SURROGATE.search(str(key)) for key in value):
            return ".(a key)"
        items = ((f".{key}", item) for key, item in value.items())
    elif isinstance(value, list):
        items = ((f"[{index}]", item) for index, item in enumerate(value))
    for name, item in items:
        place = find_surrogate(item)
        if place is not None:
            return f"{name}{place}"
    return None
