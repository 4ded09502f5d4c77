"""What holds for all tests."""

from collections.abc import Iterator

import pytest

from sense import console


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes come first, so that none is left to one worker in the end."""
    long = {item.path for item in items if any(item.get_closest_marker(name) for name in ("docker", "vllm", "slow"))}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(autouse=True)
def audible() -> Iterator[None]:
    """A test of a command with --json turns the console off for its process; the next test's is on again."""
    yield
    console.quiet(False)
