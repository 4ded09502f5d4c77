"""Values of results as JSON can hold them."""

import math

from sense.serving.messages import Cell
from sense.sql.result import Value

_LARGEST_EXACT = 1 << 53  # integers beyond it are not exact in a JSON reader that knows floating-point numbers alone


def json_value(value: Value) -> Cell:
    """A value for JSON; what JSON cannot hold comes as text, as the message with an answer describes."""
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, int) and abs(value) > _LARGEST_EXACT:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def replace_surrogates(text: str) -> str:
    """`text` with question marks for what UTF-8 cannot hold: half a surrogate pair, which JSON can spell."""
    return text.encode(errors="replace").decode()
