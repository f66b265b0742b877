"""What the runner asks of MariaDB itself: locks, sessions, waits, refusals."""

import socket
import threading
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace

import pymysql
import pytest

from tests.db.orders import RUN, an_order, until
from tests.mariadb import MariaDB, server_version
from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.model.facts import Applied
from whimbrel.planning.dialects import mariadb_ledger as statements
from whimbrel.planning.dialects.fates import Fate
from whimbrel.runner import mariadb_session
from whimbrel.runner.catalog import fingerprint, read_catalog
from whimbrel.runner.known import open_ledger
from whimbrel.runner.ledger import Ledger, install_ledger, raise_epoch, read_meta
from whimbrel.runner.lock import Heartbeat, assert_step_may_run, release_lock, take_lock
from whimbrel.runner.records import insert_applied, read_applied
from whimbrel.runner.server_errors import read_error
from whimbrel.runner.servers import server_of
from whimbrel.runner.session import Manners, Session, Theirs, Watched
from whimbrel.runner.sessions import application_name, connect, open_session, own
from whimbrel.runner.urls import parse_target
from whimbrel.runner.watchdog import Limits, Watchdog

NAME = application_name(RUN, "shop/schema")
OTHER = application_name("run-2", "shop/schema")
ENDLESS = "seq_1_to_1000000 a, seq_1_to_1000000 b WHERE a.seq + b.seq < 0"


def a_session(database: MariaDB, name: str = NAME, lock_timeout: float = 0.1) -> Session:
    return open_session(parse_target(database.url), Manners(name, lock_timeout))


@contextmanager
def a_ledger(database: MariaDB):
    with a_session(database) as session:
        ledger = Ledger(session, "whimbrel")
        open_ledger(ledger, an_order())
        yield ledger


def test_one_session_holds_the_lock_and_a_waiter_gets_it_when_the_holder_dies(mariadb):
    with a_session(mariadb) as first, a_session(mariadb, OTHER) as second:
        take_lock(first, patience=0)
        with pytest.raises(TransientError) as busy:
            take_lock(second, patience=0)
        assert f"(pid {first.backend()})" in str(busy.value)
        threading.Timer(0.3, first.close).start()
        take_lock(second, patience=10)


def test_the_lock_is_of_one_database(mariadb, mariadb_server):
    mariadb_server.run("CREATE DATABASE IF NOT EXISTS another")
    with a_session(mariadb) as first, a_session(replace(mariadb_server, dbname="another")) as other:
        take_lock(first, patience=0)
        take_lock(other, patience=0)


def test_a_step_keeps_its_epoch_until_its_transaction_ends(mariadb):
    with a_ledger(mariadb) as ledger, a_session(mariadb) as other:
        take_lock(ledger.session, patience=0)
        epoch = raise_epoch(ledger)
        with ledger.session.transaction():
            assert_step_may_run(ledger, epoch)
            with pytest.raises(pymysql.MySQLError, match="Lock wait timeout"):
                raise_epoch(Ledger(other, "whimbrel"))
        assert raise_epoch(Ledger(other, "whimbrel")) == epoch + 1
        with pytest.raises(TransientError) as old, ledger.session.transaction():
            assert_step_may_run(ledger, epoch)
        assert old.value.reason == "Superseded"
        release_lock(ledger.session)
        with pytest.raises(RefusedError, match="give a direct URL"):
            assert_step_may_run(ledger, epoch + 1)


@contextmanager
def hidden_by_ddl(database: MariaDB):
    """Make a table that DDL of somebody else holds, because it waits for a reader of another."""
    for name in ("held", "read_by_others"):
        database.run(f"CREATE TABLE {name} (id int PRIMARY KEY)")

    def rename() -> None:
        database.run("RENAME TABLE held TO a, read_by_others TO b")

    waits = "SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting%'"
    with database.connect() as reader:
        reader.begin()
        reader.cursor().execute("SELECT * FROM read_by_others")
        thread = threading.Thread(target=rename)
        thread.start()
        until(lambda: database.run(waits))
        try:
            yield
        finally:
            reader.rollback()
            thread.join()


@pytest.mark.parametrize("inside", [False, True], ids=["by itself", "inside a transaction"])
@pytest.mark.parametrize("read", [read_catalog, fingerprint])
def test_a_catalogue_without_what_somebody_holds_is_no_catalogue(mariadb, read, inside):
    with a_ledger(mariadb) as ledger, hidden_by_ddl(mariadb):

        def look() -> None:
            with ledger.session.transaction() if inside else nullcontext():
                raise_epoch(ledger)
                read(ledger.session, "whimbrel")

        # Whether the server waits for the lock at all is its own affair.
        told = "skipped since its definition|Lock wait timeout"
        with pytest.raises(pymysql.MySQLError, match=told) as hidden:
            look()
        assert read_error(hidden.value).fate is Fate.HEALS
    with a_session(mariadb) as session:
        assert {"a", "b"} <= {each.name for each in read_catalog(session, "whimbrel")}


def test_installing_twice_at_once_makes_one_ledger(mariadb):
    ids = []

    def install() -> None:
        with a_session(mariadb) as session:
            ids.append(install_ledger(Ledger(session, "whimbrel")).database)

    threads = [threading.Thread(target=install) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (len(ids), len(set(ids))) == (3, 1)


@pytest.mark.parametrize("version", range(statements.LEDGER_VERSION))
def test_an_older_ledger_is_upgraded_and_keeps_what_it_says(mariadb, version):
    row = Applied("default", "001", "001_a.up.sql", "0", "a/b", "run", "", None, frozenset())
    with a_session(mariadb) as session:
        ledger = Ledger(session, "whimbrel")
        ledger.rows(statements.CREATE_META)
        ledger.rows(statements.FIRST_META)
        for older in range(version):
            for statement in statements.UPGRADES[older]:
                ledger.rows(statement)
        ledger.rows(statements.SET_VERSION, version)
        if version:
            insert_applied(ledger, row)
        after = open_ledger(ledger, an_order()).meta
        assert after.version == statements.LEDGER_VERSION
        assert read_applied(ledger, "default") == ((row,) if version else ())
        insert_applied(ledger, replace(row, version="x" * 255))
        assert install_ledger(ledger) == after


def test_a_login_that_may_not_gets_the_exact_grants(mariadb, mariadb_server):
    mariadb_server.run(f"REVOKE CREATE ON `{mariadb.dbname}`.* FROM %s@'127.0.0.1'", mariadb.user)
    with a_session(mariadb) as session, pytest.raises(RefusedError) as refused:
        install_ledger(Ledger(session, "whimbrel"))
    assert refused.value.reason == "LedgerNotAllowed"
    _, _, grant = refused.value.message.partition("runs there: ")
    mariadb_server.run(grant)
    with a_session(mariadb) as session:
        assert install_ledger(Ledger(session, "whimbrel")).version > 0


def test_a_session_of_an_earlier_attempt_is_found_by_its_lock_and_ended(mariadb):
    with a_session(mariadb) as mine, a_session(mariadb, OTHER) as fence:
        take_lock(mine, patience=0)
        theirs = Theirs(NAME, mariadb.user)
        assert (fence.count(theirs), fence.count(Theirs(OTHER, mariadb.user))) == (1, 0)
        assert fence.count(replace(theirs, spare=(mine.backend(),))) == 0
        fence.terminate(theirs)
        until(lambda: fence.count(theirs) == 0)
        take_lock(fence, patience=1)
        assert not mine.still_holds_lock()


def test_a_dead_client_keeps_the_lock_until_its_statement_is_over(mariadb):
    """Finding 2: the server goes on. Whoever gets the lock knows that it is over."""
    mariadb.run("CREATE TABLE big (id int PRIMARY KEY, v int)")
    with a_session(mariadb, OTHER) as next_one:
        dead = a_session(mariadb)
        take_lock(dead, patience=0)
        wire = dead._wire
        wire._execute_command(3, "INSERT INTO big SELECT 1, SLEEP(1)")
        asked = "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO big%%'"
        until(lambda: mariadb.run(asked))
        wire._force_close()
        with pytest.raises(TransientError):
            take_lock(next_one, patience=0)
        take_lock(next_one, patience=20)
        assert mariadb.run("SELECT COUNT(*) FROM big") == [(1,)]


@pytest.mark.parametrize(
    "lose",
    [
        pytest.param(lambda session, _: release_lock(session), id="the lock is gone"),
        pytest.param(
            lambda session, server: server.run(f"KILL {session.handshake_id}"),
            id="the session was killed",
        ),
        pytest.param(lambda session, _: session.close(), id="the session was closed"),
    ],
)
def test_the_heartbeat_reports_a_loss_and_nothing_else(mariadb, mariadb_server, lose):
    called = threading.Event()
    with a_session(mariadb) as session:
        take_lock(session, patience=0)
        with Heartbeat(session, called.set, interval=0.05):
            session.run("DO SLEEP(0.2)")
            with session.transaction():
                session.run("DO SLEEP(0.2)")
            assert not called.is_set()
            lose(session, mariadb_server)
            assert called.wait(5)


def test_a_statement_is_cancelled_from_another_thread(mariadb):
    with a_session(mariadb) as session:
        threading.Timer(0.3, lambda: session.cancel_safe(timeout=5)).start()
        with pytest.raises(pymysql.MySQLError, match="interrupted"):
            session.run(f"SELECT COUNT(*) FROM {ENDLESS}")
        assert own(session, "SELECT 1") == [(1,)]


def test_a_change_that_waits_for_a_reader_gives_way_before_others_queue(mariadb):
    mariadb.run("CREATE TABLE t (id int)")
    target = parse_target(mariadb.url)
    with (
        mariadb.connect() as reader,
        reader.cursor() as reading,
        a_session(mariadb, lock_timeout=0.2) as session,
        Watchdog(
            lambda: open_session(target, Manners(NAME, 0.2)),
            Watched(NAME, pids=(session.backend(),)),
            Limits(wait=0.2, hold=2.0),
        ) as dog,
    ):
        reading.execute("BEGIN")
        reading.execute("SELECT * FROM t")
        with pytest.raises(pymysql.MySQLError, match="interrupted"):
            session.run("ALTER TABLE t ADD COLUMN v int")
        seen = dog.last_sighting(session.backend())
        assert (seen.waited, seen.stopped) == (True, True)
        assert 0.2 <= seen.seconds < 1


def test_others_wait_for_a_statement_of_ours_no_longer_than_they_must(mariadb):
    mariadb.run("CREATE TABLE t (id int PRIMARY KEY, v int)")
    target = parse_target(mariadb.url)

    def write() -> None:
        with suppress(pymysql.MySQLError):
            mariadb.run("INSERT INTO t VALUES (0, 0)")

    with (
        a_session(mariadb) as session,
        Watchdog(
            lambda: open_session(target, Manners(NAME, 0.2)),
            Watched(NAME, pids=(session.backend(),)),
            Limits(wait=0.2, hold=0.3),
        ) as dog,
    ):
        writer = threading.Timer(0.2, write)
        writer.start()
        with pytest.raises(pymysql.MySQLError, match="interrupted"):
            session.run(f"CREATE OR REPLACE TABLE t AS SELECT COUNT(*) AS v FROM {ENDLESS}")
        seen = dog.last_sighting(session.backend())
        assert (seen.waited, seen.stopped) == (False, True)
        writer.join()


def test_the_fingerprint_sees_what_matters_and_not_the_rows(mariadb):
    mariadb.run("CREATE TABLE p (id int PRIMARY KEY AUTO_INCREMENT)")
    with a_ledger(mariadb) as ledger:
        seen = [fingerprint(ledger.session, "whimbrel")]
        mariadb.run("INSERT INTO p VALUES (NULL)")
        assert fingerprint(ledger.session, "whimbrel") == seen[0]
        for change in (
            "CREATE TABLE c (id int PRIMARY KEY, p int, name varchar(20) DEFAULT 'x')",
            "ALTER TABLE c ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES p (id)",
            "ALTER TABLE c DROP FOREIGN KEY fk",
            "ALTER TABLE c ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE",
            "ALTER TABLE c ALTER COLUMN name SET DEFAULT 'y'",
            "ALTER TABLE c ADD CONSTRAINT ck CHECK (id > 0)",
            "CREATE INDEX n ON c (name)",
            "ALTER TABLE c ALTER INDEX n IGNORED",
            "ALTER TABLE c MODIFY name varchar(20) CHARACTER SET latin1",
            "ALTER TABLE c ROW_FORMAT = COMPRESSED",
            "CREATE VIEW v AS SELECT id FROM c",
            "CREATE TRIGGER t BEFORE INSERT ON c FOR EACH ROW SET NEW.name = 'z'",
            "CREATE PROCEDURE pr() SELECT 1",
        ):
            mariadb.run(change)
            seen.append(fingerprint(ledger.session, "whimbrel"))
        kinds = {each.kind for each in read_catalog(ledger.session, "whimbrel")}
    assert len(set(seen)) == len(seen)
    assert kinds == {"table", "column", "index", "constraint", "view", "trigger", "function"}


def test_the_server_is_asked_before_anything(mariadb, mariadb_server):
    target = parse_target(mariadb.url)
    found = server_of(target).check(target, "whimbrel")
    assert (found.version, found.database, found.warnings) == (
        server_version()[0],
        mariadb.dbname,
        (),
    )
    mariadb_server.run("SET GLOBAL read_only = 1")
    try:
        with pytest.raises(TransientError, match="primary"):
            server_of(target).check(target, "whimbrel")
    finally:
        mariadb_server.run("SET GLOBAL read_only = 0")


class Renumbered:
    """A proxy that makes up a session's number, as MaxScale and ProxySQL do."""

    def __init__(self, server_port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.server_port = self.listener.getsockname()[1], server_port
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server_port))
                hello = server.recv(4096)
                place = hello.index(b"\0", 5) + 1
                client.sendall(hello[:place] + b"\x63\x63\0\0" + hello[place + 4 :])
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self.copy, args=(one, other), daemon=True).start()

    def copy(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError), one, other:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)


def test_a_proxy_that_shares_sessions_is_refused(mariadb):
    proxy = Renumbered(mariadb.port)
    with proxy.listener:
        target = replace(parse_target(mariadb.url), port=proxy.port)
        with pytest.raises(RefusedError, match="give the direct address") as refused:
            server_of(target).check(target, "whimbrel")
    assert refused.value.reason == "ProxyBetween"


def test_who_accepts_and_says_nothing_does_not_hang_us(mariadb, monkeypatch):
    monkeypatch.setattr(mariadb_session, "CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        target = replace(parse_target(mariadb.url), port=mute.getsockname()[1])
        with pytest.raises(TransientError) as failed:
            connect(target, "whimbrel")
    assert failed.value.reason == "DatabaseUnreachable"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"password": "wrong"}, "WrongPassword", id="a wrong password"),
        pytest.param({"dbname": "nowhere"}, "LoginRefused", id="another's database"),
        pytest.param({"port": 1}, "DatabaseUnreachable", id="nobody listens"),
        pytest.param({"host": "no-such-host.invalid"}, "DatabaseUnreachable", id="no such host"),
    ],
)
def test_a_login_that_fails_says_why_without_the_password(mariadb, changes, reason):
    target = replace(parse_target(mariadb.url), **changes)
    with pytest.raises(TransientError) as failed:
        connect(target, "whimbrel")
    assert failed.value.reason == reason
    assert mariadb.password not in str(failed.value)


def test_tls_is_asked_for_where_it_is_and_where_it_is_not(mariadb):
    target = replace(parse_target(mariadb.url), parameters=(("sslmode", "require"),))
    if server_version() >= (11, 4):  # it makes itself a certificate
        with connect(target, "whimbrel") as session:
            assert session.ask("SHOW STATUS LIKE 'Ssl_version'", ())[0][1]
        return
    with pytest.raises(TransientError) as failed:
        connect(target, "whimbrel")
    assert failed.value.reason == "TLSFailed"
    assert mariadb.password not in str(failed.value)


def test_a_ledger_of_another_prefix_is_another(mariadb):
    with a_session(mariadb) as session:
        install_ledger(Ledger(session, "whimbrel"))
        assert read_meta(Ledger(session, "other")) is None
        assert read_meta(Ledger(session, "whimbrel")) is not None
