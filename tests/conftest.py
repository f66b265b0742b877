"""Fixtures that every test may use: real servers, a fresh database each."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.mariadb import MariaDB, create_database as create_mariadb, running_mariadb
from tests.postgres import (
    BINARIES,
    MEMORY,
    Postgres,
    create_database,
    drop_database,
    running_postgres,
)

pytest_plugins = ["tests.sampling"]
NUMBERS = itertools.count(1)

# An example may take as long as it likes: how busy the machine is, is no property of the code.
settings.register_profile("whimbrel", deadline=None)
settings.load_profile("whimbrel")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Callable[[int], Postgres]]:
    """Return a function that gives the running server of a major version, started at first use."""
    open_servers = {}
    contexts = []

    def start(version: int) -> Postgres:
        if version not in open_servers:
            context = running_postgres(version, folder=MEMORY)
            open_servers[version] = context.__enter__()
            contexts.append(context)
        return open_servers[version]

    yield start
    for context in contexts:
        context.__exit__(None, None, None)


def _fresh(server: Postgres) -> Iterator[Postgres]:
    name = f"shop{next(NUMBERS)}"
    yield create_database(server, name)
    drop_database(server, name)


@pytest.fixture
def database(postgres_server: Callable[[int], Postgres]) -> Iterator[Postgres]:
    """Give a fresh database on PostgreSQL 16, owned by a plain login (no superuser)."""
    yield from _fresh(postgres_server(16))


def _each_postgres() -> list[Any]:
    """Return the versions that we promise; `make test` chooses one for each test."""
    mark = pytest.mark.sampled("each PostgreSQL")
    return [
        pytest.param(version, id=f"postgresql {version}", marks=mark)
        for version in sorted(BINARIES)
    ]


@pytest.fixture(params=_each_postgres())
def any_database(request, postgres_server: Callable[[int], Postgres]) -> Iterator[Postgres]:
    """Give a fresh database on each PostgreSQL version that we promise."""
    yield from _fresh(postgres_server(request.param))


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    """Return a running MariaDB, as root reaches it."""
    with running_mariadb(folder=MEMORY) as server:
        yield server


@pytest.fixture
def mariadb(mariadb_server: MariaDB) -> MariaDB:
    """Return a fresh database on MariaDB, and a plain login that may use nothing else."""
    return create_mariadb(mariadb_server, f"shop{next(NUMBERS)}")
