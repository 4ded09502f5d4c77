"""The words for what became of a prediction. Standard library only: the processes that execute SQL import them too."""

from typing import Literal

VerdictName = Literal["match", "mismatch", "error", "timeout", "too_large", "rejected", "gold_error"]
FailureName = Literal["error", "timeout", "too_large", "rejected"]  # a query without a result
Mismatch = Literal["columns", "rows", "order", "values"]
Kind = Literal["", "columns", "rows", "order", "values"]
Limit = Literal["", "clock", "steps", "rows", "bytes", "value", "memory"]
