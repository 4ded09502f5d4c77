import pytest

from tests.docker import container


@pytest.fixture(scope="session")
def image():
    """The name of the image `train` of this working copy."""
    return _require(container.TRAIN)


@pytest.fixture(scope="session")
def gateway_image():
    """The name of the image `gateway` of this working copy."""
    return _require(container.GATEWAY)


@pytest.fixture(scope="session")
def serve_image():
    """The name of the image `serve` of this working copy."""
    return _require(container.SERVE)


def _require(name: str) -> str:
    """The name, if the image can be tested; else the test is skipped, or fails where images are required."""
    if reason := container.why_unusable(name):
        (pytest.fail if container.is_required() else pytest.skip)(reason)
    return name
