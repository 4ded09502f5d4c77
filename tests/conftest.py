"""What holds for all tests."""

import gc
from collections.abc import Iterator

import pytest

from sense import console


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes come first, so that none is left to one worker in the end."""
    long = {item.path for item in items if any(item.get_closest_marker(name) for name in ("docker", "vllm", "slow"))}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish() -> None:
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def frozen() -> Iterator[None]:
    """Full collections, of which a training asks for several, look through what its file has made alone.

    All that the libraries define takes most of a second each time. What a file leaves is collected at its end.
    """
    yield
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()  # pytest looks through everything once more


@pytest.fixture(autouse=True)
def audible() -> Iterator[None]:
    """A test of a command with --json turns the console off for its process; the next test's is on again."""
    yield
    console.quiet(False)
