"""A stage's metrics, nested as its metrics file has them, as one flat mapping: what MLflow and Kubeflow show."""

import math
from collections.abc import Mapping
from typing import Any


def leaves(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, their keys joined with dots."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= leaves(inner, f"{prefix}{key}.") if isinstance(inner, Mapping) else {f"{prefix}{key}": inner}
    return found


def is_number(value: Any) -> bool:
    """Whether it is a number to plot; a truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers among the leaves, for Kubeflow: its JSON knows neither NaN nor infinity."""
    return {key: float(value) for key, value in leaves(metrics).items() if is_number(value) and math.isfinite(value)}
