"""Counts and numbers as metrics files, MLflow and Kubeflow take them."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sense.verdicts import VerdictName


def verdict_counts(verdicts: Iterable[VerdictName]) -> dict[str, int]:
    """How often each verdict came, sorted by name, for a metrics file.

    `error` is spelt `sql_error` there: DVC takes a key `error` anywhere in a metrics file for a failure to read the file.
    """
    return dict(sorted(Counter("sql_error" if name == "error" else name for name in verdicts).items()))


def flatten(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested metrics as one mapping, their keys joined with dots, as MLflow and Kubeflow show them."""
    flat: dict[str, Any] = {}
    for key, value in metrics.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def is_number(value: Any) -> bool:
    """Whether a metric can be plotted: an int or a float, not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def finite_numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers among nested metrics, flattened, for Kubeflow: its JSON knows neither NaN nor infinity."""
    return {key: float(value) for key, value in flatten(metrics).items() if is_number(value) and math.isfinite(value)}
