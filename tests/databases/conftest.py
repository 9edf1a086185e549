from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.databases import servers
from tests.databases.places import DuckdbPlace, MariadbPlace, Place, PostgresqlPlace, ServerPlace, SqlitePlace

_numbers = itertools.count()

needs_mariadb = pytest.mark.skipif(
    servers.mariadbd() is None, reason="no mariadbd here: apt-get install mariadb-server-core"
)
SERVERS = ["postgresql", pytest.param("mariadb", marks=needs_mariadb)]
ALL = ["sqlite", "duckdb", *SERVERS]


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[sa.URL]:
    with servers.postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[sa.URL]:
    with servers.mariadb() as url:
        yield url


def make(kind: str, request: pytest.FixtureRequest, folder: Path) -> Place:
    """A fresh namespace on a database of that kind."""
    name = f"t{next(_numbers)}"
    found: Place
    if kind == "postgresql":
        found = PostgresqlPlace(request.getfixturevalue("postgresql_server"), name)
    elif kind == "mariadb":
        found = MariadbPlace(request.getfixturevalue("mariadb_server"), name)
    else:
        found = {"sqlite": SqlitePlace, "duckdb": DuckdbPlace}[kind](folder)
    request.addfinalizer(found.close)
    return found


@pytest.fixture(params=ALL)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make(request.param, request, tmp_path)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> ServerPlace:
    found = make(request.param, request, tmp_path)
    assert isinstance(found, ServerPlace)
    return found


@pytest.fixture
def postgresql(request: pytest.FixtureRequest, tmp_path: Path) -> PostgresqlPlace:
    found = make("postgresql", request, tmp_path)
    assert isinstance(found, PostgresqlPlace)
    return found


@pytest.fixture
def mariadb(request: pytest.FixtureRequest, tmp_path: Path) -> MariadbPlace:
    if servers.mariadbd() is None:
        pytest.skip("no mariadbd here: apt-get install mariadb-server-core")
    found = make("mariadb", request, tmp_path)
    assert isinstance(found, MariadbPlace)
    return found
