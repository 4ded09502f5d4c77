"""The examples in the docstrings of the pure functions give what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["compare", "extract", "hardness", "order", "parse", "tree"])
def test_examples_in_docstrings(name):
    result = doctest.testmod(importlib.import_module(f"sense.sql.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
