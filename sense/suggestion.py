"""What a misspelt name may have been meant to be."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """'; did you mean NAME?' with the one of `names` that is nearest to `name`; an empty text where none is near."""
    nearest = difflib.get_close_matches(name, list(names), 1)
    return f"; did you mean {nearest[0]}?" if nearest else ""
