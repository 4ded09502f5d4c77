"""SENSE: train an open text-to-SQL model on data it makes itself (arXiv 2408.03256)."""

__version__ = "0.1.0"
