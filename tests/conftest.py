"""Fixtures that every test may use: real servers, a fresh database each."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.mariadb import MariaDB, create_database as create_mariadb, running_mariadb
from tests.postgres import BINARIES, Postgres, create_database, running_postgres

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Callable[[int], Postgres]]:
    """Return a function that gives the running server of a major version, started at first use."""
    open_servers = {}
    contexts = []

    def start(version: int) -> Postgres:
        if version not in open_servers:
            context = running_postgres(version)
            open_servers[version] = context.__enter__()
            contexts.append(context)
        return open_servers[version]

    yield start
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture
def database(postgres_server: Callable[[int], Postgres]) -> Postgres:
    """Return a fresh database on PostgreSQL 16, owned by a plain login (no superuser)."""
    return create_database(postgres_server(16), f"shop{next(NUMBERS)}")


@pytest.fixture(params=sorted(BINARIES), ids=lambda version: f"postgresql {version}")
def any_database(request, postgres_server: Callable[[int], Postgres]) -> Postgres:
    """Return a fresh database on each PostgreSQL version that we promise."""
    return create_database(postgres_server(request.param), f"shop{next(NUMBERS)}")


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    """Return a running MariaDB, as root reaches it."""
    with running_mariadb() as server:
        yield server


@pytest.fixture
def mariadb(mariadb_server: MariaDB) -> MariaDB:
    """Return a fresh database on MariaDB, and a plain login that may use nothing else."""
    return create_mariadb(mariadb_server, f"shop{next(NUMBERS)}")
