"""Servers with the shop of tests/serving."""

from collections.abc import Iterator

import pytest

from tests.serving.mariadb import mysql_shop
from tests.serving.postgres import Postgres


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL server with the shop; skips the test where PostgreSQL is not installed."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(scope="module")
def mysql_url() -> Iterator[str]:
    """The URL of the shop in MySQL or MariaDB; skips the test where there is none."""
    with mysql_shop() as url:
        yield url


@pytest.fixture(params=["postgresql", "mysql"])
def server_url(request: pytest.FixtureRequest) -> str:
    """The URL of either."""
    if request.param == "mysql":
        return str(request.getfixturevalue("mysql_url"))
    return str(request.getfixturevalue("postgres_server").url())
