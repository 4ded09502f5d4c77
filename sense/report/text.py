"""How numbers, identifiers and text that somebody else wrote are printed."""

import unicodedata
from collections.abc import Mapping
from typing import Any

_MAX_LENGTH = 2000  # characters of model-written text; a runaway completion must not fill the page


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 0..1 as per cent; a dash for None."""
    return "–" if share is None else f"{100 * share:.{digits}f}%"


def percentage_points(difference: float | None) -> str:
    """A difference of shares in percentage points, signed; a dash for None."""
    if difference is None:
        return "–"
    points = f"{abs(100 * difference):.1f}"
    return "0.0" if float(points) == 0 else f"{'+' if difference > 0 else '−'}{points}"


def number(value: Any) -> str:
    """A whole number with commas; other numbers with three digits; a dash for None."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def drop_counts(counts: Mapping[str, int]) -> str:
    """How many rows were dropped for each reason, on one line; a dash if none was."""
    return ", ".join(f"{n:,} {humanize(reason)}" for reason, n in counts.items() if n) or "–"


def p_value(p: float | None) -> str:
    """A p value; a dash for None."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def humanize(name: str) -> str:
    """An identifier such as `all_wrong` or `heldout` as words."""
    return name.replace("_", " ").replace("heldout", "held out")


def printable(untrusted: str) -> str:
    """Text that somebody else wrote, safe to print: cut after 2,000 characters, control characters replaced by U+FFFD.

    Characters that change the direction of text count as control characters; line breaks and tabs stay.
    """
    printed = "".join(
        "\ufffd" if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char not in "\n\t" else char
        for char in untrusted[:_MAX_LENGTH]
    )
    return printed if len(untrusted) <= _MAX_LENGTH else f"{printed} … ({len(untrusted):,} characters)"
