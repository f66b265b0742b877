"""A real PgBouncer before a real server."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg

from tests.db.orders import until
from tests.postgres import Postgres, free_port

PROGRAM = "/usr/sbin/pgbouncer"
SETTINGS = """
[databases]
{dbname} = host=127.0.0.1 port={server_port} dbname={dbname} user={user} password='{password}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 500
unix_socket_dir =
logfile = {home}/log
"""


@contextmanager
def running_pgbouncer(database: Postgres, mode: str, size: int) -> Iterator[Postgres]:
    """Start PgBouncer; return the database as it is seen through it."""
    home = Path(tempfile.mkdtemp(prefix="whimbrel-bouncer-"))
    port = free_port()
    password = psycopg.conninfo.conninfo_to_dict(database.url)["password"]
    values = {"dbname": database.dbname, "server_port": database.port, "user": database.user}
    mine = {"password": password, "port": port, "mode": mode, "size": size, "home": home}
    (home / "ini").write_text(SETTINGS.format(**values, **mine))
    nobody = pwd.getpwnam("nobody").pw_uid
    for path in (home, home / "ini"):
        os.chown(path, nobody, -1)
    program = subprocess.Popen([PROGRAM, "-q", str(home / "ini")], user=nobody, cwd="/")
    try:
        until(lambda: listens(port))
        yield replace(database, port=port)
    finally:
        program.kill()
        program.wait()
        shutil.rmtree(home)


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def load(database: Postgres, clients: int) -> Iterator[None]:
    """Keep clients busy with short transactions."""
    stop = threading.Event()

    def work() -> None:
        with database.connect(prepare_threshold=None) as session:
            while not stop.is_set():
                with session.transaction():
                    session.execute("select pg_sleep(0.005)")

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
