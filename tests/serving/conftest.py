"""A database, a model server and gateways for the tests of this folder."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from sense.serving.remote import RemoteDatabase, open_url
from tests.serving.model_server import ModelServer
from tests.serving.postgres import Postgres
from tests.serving.running import Running, settings
from tests.serving.shops import LIMITS, SHORT_LIMITS

SHOP = """
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price REAL);
CREATE TABLE sale(id INTEGER PRIMARY KEY, item_id INTEGER REFERENCES item(id), day TEXT);
INSERT INTO item VALUES (1, 'spade', 12.5), (2, 'rake', 9.0), (3, 'hose', 30.0);
INSERT INTO sale VALUES (1, 1, '2026-01-02'), (2, 1, '2026-01-03'), (3, 3, '2026-01-03');
"""
Start = Callable[..., Running]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one database, `shop`."""
    folder = tmp_path_factory.mktemp("serving") / "databases"
    (folder / "shop").mkdir(parents=True)
    with closing(sqlite3.connect(folder / "shop" / "shop.sqlite")) as connection:
        connection.executescript(SHOP)
    return folder


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server with the shop; skips the test where PostgreSQL is not installed."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def remote_shop(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteDatabase]:
    """The shop in PostgreSQL, opened as the gateway does."""
    monkeypatch.setenv("SHOP_URL", postgres.url())
    shop_database = open_url("shop", "SHOP_URL", LIMITS)
    yield shop_database
    shop_database.close()


@pytest.fixture
def impatient_shop(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteDatabase]:
    """The shop in PostgreSQL with a time limit of 1.5 seconds; on a busy machine, reading its schema may take longer."""
    monkeypatch.setenv("SHOP_URL", postgres.url())
    shop_database = open_url("shop", "SHOP_URL", SHORT_LIMITS)
    yield shop_database
    shop_database.close()


@pytest.fixture
def model() -> Iterator[ModelServer]:
    """A model server with version `sense-1`, which answers ` SELECT 'sense-1'`."""
    with ModelServer() as server:
        yield server


@pytest.fixture
def start(model: ModelServer, shop: Path) -> Iterator[Start]:
    """Starts gateways that use `model`; keywords are sections of the configuration."""
    with ExitStack() as stack:

        def run(headers: dict[str, str] | None = None, **changes: Any) -> Running:
            return stack.enter_context(Running(settings(model.url, shop, **changes), headers=headers))

        yield run


@pytest.fixture(scope="module")
def module_gateway(shop: Path) -> Iterator[Running]:
    """A gateway shared by the tests of a module that change nothing."""
    with ModelServer() as server, Running(settings(server.url, shop)) as gateway:
        yield gateway
