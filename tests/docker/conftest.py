import pytest

from tests.docker import container


@pytest.fixture(scope="session")
def image():
    """The name of the image `train` of this working copy."""
    return _there(container.TRAIN)


@pytest.fixture(scope="session")
def gateway_image():
    """The name of the image `gateway` of this working copy."""
    return _there(container.GATEWAY)


@pytest.fixture(scope="session")
def serve_image():
    """The name of the image `serve` of this working copy."""
    return _there(container.SERVE)


def _there(name: str) -> str:
    if reason := container.missing(name):
        (pytest.fail if container.insisted() else pytest.skip)(reason)
    return name
