"""The tests of this folder use the small database of tests/sql."""

from tests.sql.conftest import executor, pets

__all__ = ["executor", "pets"]
