"""How numbers and model-written text are shown."""

import unicodedata
from collections.abc import Mapping
from typing import Any

_LONGEST = 2000  # characters of model-written text; a runaway completion must not fill the page


def percent(share: Any, digits: int = 1) -> str:
    """A share of 0..1 as per cent; a dash for None."""
    return "–" if share is None else f"{100 * share:.{digits}f}%"


def points(difference: float | None) -> str:
    """A difference of shares in percentage points, signed; a dash for None."""
    if difference is None:
        return "–"
    shown = f"{abs(100 * difference):.1f}"
    return "0.0" if float(shown) == 0 else f"{'+' if difference > 0 else '−'}{shown}"


def count(number: Any) -> str:
    """A whole number with commas; other numbers with three digits; a dash for None."""
    if number is None:
        return "–"
    return f"{number:,}" if isinstance(number, int) else f"{number:.3g}"


def dropped(reasons: Mapping[str, int]) -> str:
    """Counts by reason on one line; a dash if nothing was dropped."""
    return ", ".join(f"{n:,} {spoken(name)}" for name, n in reasons.items() if n) or "–"


def chance(p: float | None) -> str:
    """A p value; a dash for None."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def spoken(name: str) -> str:
    """An identifier such as `all_wrong` or `too_large` in words."""
    return name.replace("_", " ").replace("heldout", "held out")


def shown(text: str) -> str:
    """Text that somebody else wrote, safe to look at: no control or direction-changing characters, not endlessly long."""
    kept = "".join(
        "\ufffd" if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char not in "\n\t" else char for char in text[:_LONGEST]
    )
    return kept if len(text) <= _LONGEST else f"{kept} … ({len(text):,} characters)"
