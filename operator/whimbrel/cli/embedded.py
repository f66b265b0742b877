"""The embedded PostgreSQL: started when needed, stopped by the last one who uses it."""

import fcntl
import hashlib
import os
import secrets
import shlex
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import psycopg
from psycopg import sql

from whimbrel.cli.postgres_package import VERSION, Installation, find_installation, is_reachable
from whimbrel.model.errors import TransientError

# Not "whimbrel": the search path begins with "$user", and that is the ledger's schema.
LOGIN: Final = "postgres"
DATABASE: Final = "whimbrel"
_ROOTS_PLACE: Final = Path("/var/lib/whimbrel")
_TRIES: Final = 5


@dataclass(frozen=True)
class Embedded:
    """A running embedded server.

    Attributes:
        home: Directory with the cluster (`data`), its log and the password file.
        programs: Directory of PostgreSQL's own programs.
    """

    home: Path
    port: int
    password: str = field(repr=False)
    programs: Path

    @property
    def url(self) -> str:
        """Return the URL, with the password; never to be shown."""
        return f"postgresql://{LOGIN}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    def psql(self) -> str:
        """Return the command that connects a person."""
        passwords = shlex.quote(str(self.home / "pgpass"))
        psql = shlex.quote(shutil.which("psql") or str(self.programs / "psql"))
        return f"PGPASSFILE={passwords} {psql} -h 127.0.0.1 -p {self.port} -U {LOGIN} {DATABASE}"


@contextmanager
def embedded_postgres(state_dir: Path, *, keep: bool) -> Iterator[Embedded]:
    """Give a running server whose data stay in the state directory.

    Args:
        state_dir: Where the data live; elsewhere when root's state directory is out of reach
            for the user that the server runs as (`Embedded.home` says where).
        keep: Leave it running. It is left running too while others use it.
    """
    installation = find_installation()
    home = _home(state_dir, installation)
    with (home / "users.lock").open("a", encoding="ascii") as users:
        with _one_at_a_time(home):
            server = _start(home, installation)
            fcntl.flock(users, fcntl.LOCK_SH)
        if keep:
            (home / "keep").touch()
        try:
            yield server
        finally:
            with _one_at_a_time(home):
                _stop_if_unused(home, installation, users)


def _home(state_dir: Path, installation: Installation) -> Path:
    state_dir.mkdir(parents=True, exist_ok=True)
    home = state_dir.resolve() / "postgresql"
    if installation.uid is not None and not is_reachable(state_dir.resolve()):
        place = hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:12]
        home = _ROOTS_PLACE / place
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o755 if installation.uid is not None else 0o700)
    return home


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    with (home / "start.lock").open("a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(home: Path, installation: Installation) -> Embedded:
    password = _password(home)
    port = _running_port(home, installation)
    if port is not None:
        return Embedded(home, port, password, installation.programs)
    (home / "keep").unlink(missing_ok=True)
    if not (home / "data").exists():
        _initialise(home, installation)
    port = _start_on_free_port(home, installation)
    _write_private(home / "pgpass", f"127.0.0.1:*:*:{LOGIN}:{password}\n")
    server = Embedded(home, port, password, installation.programs)
    _create_database(server)
    return server


def _password(home: Path) -> str:
    path = home / "password"
    with suppress(FileNotFoundError):
        return path.read_text(encoding="ascii").strip()
    password = secrets.token_urlsafe(24)
    _write_private(path, password + "\n")
    return password


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _running_port(home: Path, installation: Installation) -> int | None:
    """Return the port of the running server, or None. The fourth line of its pid file is it."""
    try:
        installation.run("pg_ctl", "status", "-D", str(home / "data"))
        lines = (home / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return int(lines[3])
    except (TransientError, FileNotFoundError, IndexError):
        return None


def _initialise(home: Path, installation: Installation) -> None:
    """Create the cluster under a working name: a killed initdb leaves no half of one."""
    partial, first = home / "data.partial", home / "first-password"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    _write_private(first, (home / "password").read_text(encoding="ascii"))
    if installation.uid is not None:
        os.chown(partial, installation.uid, -1)
        os.chown(first, installation.uid, -1)
    words = ("-D", str(partial), "-U", LOGIN, "-A", "scram-sha-256", f"--pwfile={first}")
    locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    try:
        installation.run("initdb", *words, "-E", "UTF8", *locale)
    finally:
        first.unlink()
    partial.rename(home / "data")


def _start_on_free_port(home: Path, installation: Installation) -> int:
    for rest in reversed(range(_TRIES)):
        port = _free_port()
        try:
            _start_on(port, home, installation)
        except TransientError:
            if rest:  # another process was faster with that port
                continue
            raise
        return port
    raise AssertionError("the last try either starts or raises")


def _start_on(port: int, home: Path, installation: Installation) -> None:
    log = home / "data" / "server.log"
    options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
    data = str(home / "data")
    installation.run("pg_ctl", "start", "-w", "-D", data, "-l", str(log), "-o", options)


def _create_database(server: Embedded) -> None:
    url = server.url.removesuffix(DATABASE) + "postgres"
    with psycopg.connect(url, autocommit=True) as session:
        found = session.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
        if found.rowcount == 0:
            session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _stop_if_unused(home: Path, installation: Installation, users: IO[str]) -> None:
    if (home / "keep").exists():
        return
    try:
        # From shared to exclusive: fails as long as another process holds it too.
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    installation.run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(home / "data"))


def describe(server: Embedded, *, keep: bool) -> str:
    """Return the sentence that says where the server is and, if it stays, how one connects."""
    where = f"embedded PostgreSQL {VERSION} (data in {server.home})"
    if not keep:
        return where
    pid = (server.home / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0]
    return f"{where}, left running; stop it: kill -INT {pid}; connect: {server.psql()}"
