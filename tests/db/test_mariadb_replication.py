"""Servers of which another one knows no lock (Galera, replicas): real ones, each refused."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pymysql
import pytest

from tests.db.orders import until
from tests.mariadb import PASSWORD, MariaDB, create_database, running_mariadb
from tests.postgres import free_port
from tests.runner_process import Attempt
from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.runner.servers import server_of
from whimbrel.runner.urls import parse_target

PROVIDER = "/usr/lib/galera/libgalera_smm.so"
FILES = {"001_users.up.sql": "CREATE TABLE users (id int PRIMARY KEY);"}


def check(database: MariaDB) -> str:
    target = parse_target(database.url)
    return server_of(target).check(target, "whimbrel").database


@pytest.fixture(scope="module")
def galera() -> Iterator[MariaDB]:
    """Return a database on a cluster with one node, on this machine alone."""
    options = f"gmcast.listen_addr=tcp://127.0.0.1:{free_port()};ist.recv_addr=127.0.0.1"
    with running_mariadb(
        "--wsrep-on=ON",
        f"--wsrep-provider={PROVIDER}",
        "--wsrep-cluster-address=gcomm://",
        "--wsrep-node-address=127.0.0.1",
        f"--wsrep-provider-options={options}",
        "--binlog-format=ROW",
        "--innodb-autoinc-lock-mode=2",
    ) as server:
        assert server.run("SHOW STATUS LIKE 'wsrep_ready'") == [("wsrep_ready", "ON")]
        yield create_database(server, "shop")


def test_a_node_of_a_cluster_is_refused_and_nothing_is_written(galera: MariaDB, tmp_path: Path):
    refused = Attempt(tmp_path, galera.url, tuple(FILES.items())).run_to_end()
    assert (refused.code, refused.result["reason"]) == (2, "GaleraCluster"), refused
    assert "is a node of a Galera cluster" in refused.result["message"]
    assert galera.run("SHOW TABLES") == []


def test_a_node_that_keeps_its_writes_for_itself_is_still_one(galera: MariaDB):
    root = galera.admin()
    root.run("SET GLOBAL wsrep_on = OFF")
    try:
        with pytest.raises(RefusedError) as refused:
            check(galera)
    finally:
        root.run("SET GLOBAL wsrep_on = ON")
    assert refused.value.reason == "GaleraCluster"


@pytest.fixture(scope="module")
def replicated() -> Iterator[tuple[MariaDB, MariaDB]]:
    """Return a database as a primary has it, and as its replica has it, which takes writes."""
    with (
        running_mariadb("--server-id=1", "--log-bin=log") as primary,
        running_mariadb("--server-id=2") as replica,
    ):
        primary.run("CREATE USER copier@'127.0.0.1' IDENTIFIED BY %s", PASSWORD)
        primary.run("GRANT REPLICATION SLAVE ON *.* TO copier@'127.0.0.1'")
        replica.run(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = %s,"
            " MASTER_USER = 'copier', MASTER_PASSWORD = %s, MASTER_USE_GTID = slave_pos",
            primary.port,
            PASSWORD,
        )
        replica.run("START SLAVE")
        shop = create_database(primary, "shop")
        copy = replace(shop, port=replica.port)
        until(lambda: is_there(copy))
        yield shop, copy


def is_there(database: MariaDB) -> bool:
    with contextlib.suppress(pymysql.MySQLError):
        return database.run("SELECT 1") == [(1,)]
    return False


def test_a_replica_that_takes_writes_is_refused_until_it_is_the_primary(
    replicated: tuple[MariaDB, MariaDB], tmp_path: Path
):
    shop, copy = replicated
    assert check(shop) == "shop"
    attempt = Attempt(tmp_path, copy.url, tuple(FILES.items()))
    refused = attempt.run_to_end()
    assert (refused.code, refused.result["reason"]) == (75, "ReadOnly"), refused
    assert "give the server that gets rows from nobody" in refused.result["message"]
    assert copy.run("SHOW TABLES") == []
    copy.admin().run("SET GLOBAL read_only = 1")
    with pytest.raises(TransientError, match="give the primary's URL"):
        check(copy)
    copy.admin().run("STOP SLAVE")
    copy.admin().run("SET GLOBAL read_only = 0")
    promoted = attempt.next().run_to_end()
    assert (promoted.code, promoted.result["outcome"]) == (0, "Done"), promoted
