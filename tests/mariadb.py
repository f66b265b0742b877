"""Real MariaDB servers for tests, one process each in a folder of its own.

Debian's 10.11, or with WHIMBREL_MARIADB=11.4 the one of tests/maven_mariadb.py.
"""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pymysql

from tests import maven_mariadb
from tests.postgres import free_port, server_home

PASSWORD = "p%40w#1"  # with the characters that break careless code
IN_URL = "p%2540w%231"


@dataclass(frozen=True)
class MariaDB:
    """A running server, or one database of it as one login reaches it."""

    home: Path
    port: int
    user: str = "root"
    password: str = ""
    dbname: str = "mysql"

    @property
    def url(self) -> str:
        """Return a URL as a user would write it into a Secret."""
        secret = IN_URL if self.password == PASSWORD else self.password
        return f"mysql://{self.user}:{secret}@127.0.0.1:{self.port}/{self.dbname}"

    def connect(self, **options: object) -> pymysql.Connection:
        """Open an autocommit session, without TLS: the driver would read a list of authorities."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=self.user, password=self.password,
            database=self.dbname, autocommit=True, ssl_disabled=True, **options,
        )  # fmt: skip

    def run(self, statement: str, *values: object) -> list[tuple]:
        """Run one statement in a session of its own and return its rows."""
        with self.connect() as session, session.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def admin(self) -> "MariaDB":
        """Return the same database as root reaches it."""
        return replace(self, user="root", password="")


def _as_nobody(home: Path) -> dict[str, object]:
    """Run in a folder of its own: a server that starts deletes all temporary tables in TMPDIR."""
    place = {"cwd": home, "env": os.environ | {"TMPDIR": str(home)}}
    if os.geteuid() != 0:
        return place
    nobody = pwd.getpwnam("nobody")
    return place | {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def server_version() -> tuple[int, int]:
    """Return major and minor of the servers that are started."""
    major, minor = (maven_mariadb.chosen() or "10.11").split(".")
    return int(major), int(minor)


def _programs() -> tuple[Path, Path, list[str]]:
    """Return where the server's files are, its program, and how its installation begins."""
    version = maven_mariadb.chosen()
    if not version:
        return Path("/usr"), Path("/usr/sbin/mariadbd"), ["mariadb-install-db"]
    base = maven_mariadb.home(version)
    return base, base / "bin/mariadbd", [f"{base}/scripts/mariadb-install-db", f"--basedir={base}"]


@contextmanager
def running_mariadb(*settings: str, folder: Path | None = None) -> Iterator[MariaDB]:
    """Start a server with `--name=value` settings; delete it afterwards."""
    home = server_home("mariadb", folder)
    data = home / "data"
    base, program, script = _programs()
    install = [*script, "--no-defaults", f"--datadir={data}", "--skip-test-db"]
    words = [*install, "--auth-root-authentication-method=normal"]
    made = subprocess.run(words, check=False, capture_output=True, **_as_nobody(home))
    if made.returncode != 0:
        raise RuntimeError((made.stdout + made.stderr).decode())
    server = MariaDB(home, free_port())
    command = [
        program, "--no-defaults", f"--basedir={base}", f"--datadir={data}", f"--port={server.port}",
        "--bind-address=127.0.0.1", f"--socket={home / 'socket'}", f"--pid-file={home / 'pid'}",
        "--skip-log-bin", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M",
        "--innodb-flush-log-at-trx-commit=0", "--aria-pagecache-buffer-size=1M",
        "--skip-name-resolve", *settings,
    ]  # fmt: skip
    _RUNNING[server.port] = Running(command, _start(server, command))
    try:
        _await(server, _RUNNING[server.port].process)
        yield server
        if _RUNNING[server.port].process.poll() is not None:
            raise RuntimeError(f"the server died: {(home / 'log').read_text()[-8000:]}")
    finally:
        process = _RUNNING.pop(server.port).process
        process.kill()
        process.wait()
        shutil.rmtree(home, ignore_errors=True)


@dataclass
class Running:
    """How a server was started, and its process."""

    command: list
    process: subprocess.Popen


_RUNNING: dict[int, Running] = {}


def _start(server: MariaDB, command: list) -> subprocess.Popen:
    with (server.home / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, **_as_nobody(server.home))


def stop_hard(server: MariaDB) -> None:
    """Let a server crash."""
    running = _RUNNING[server.port]
    running.process.kill()
    running.process.wait()


def start_again(server: MariaDB) -> None:
    """Start a server that crashed, and wait for it."""
    running = _RUNNING[server.port]
    running.process = _start(server, running.command)
    _await(server, running.process)


def _await(server: MariaDB, process: subprocess.Popen) -> None:
    path, end = str(server.home / "socket"), time.monotonic() + 60
    while not _listens(path):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError((server.home / "log").read_text())
        time.sleep(0.05)  # between two tries at a server that starts
    # The installation makes root for the socket and localhost alone.
    with pymysql.connect(unix_socket=path, user="root") as session, session.cursor() as cursor:
        cursor.execute("CREATE USER IF NOT EXISTS root@'127.0.0.1'")
        cursor.execute("GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION")


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as wire:
        return wire.connect_ex(path) == 0


def create_database(server: MariaDB, name: str) -> MariaDB:
    """Create a database and a plain login of the same name that may use only it."""
    server.run(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
    server.run("CREATE USER %s@'127.0.0.1' IDENTIFIED BY %s", name, PASSWORD)
    server.run(f"GRANT ALL ON `{name}`.* TO %s@'127.0.0.1'", name)
    return replace(server, user=name, password=PASSWORD, dbname=name)
