"""TLS to a real MariaDB: nobody but the server that is meant is talked to."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import NUMBERS
from tests.db.certificates import NAME, certificates
from tests.mariadb import MariaDB, create_database, running_mariadb
from tests.mysqlclient import django_with_mysqlclient
from tests.processes import ROOT
from whimbrel.model.errors import TransientError
from whimbrel.model.migrations import Tool
from whimbrel.planning.tools.registry import foreign_tool
from whimbrel.runner.run_tool import wrapper_text
from whimbrel.runner.sessions import connect, own
from whimbrel.runner.target import render_url
from whimbrel.runner.urls import parse_target


@dataclass(frozen=True)
class Secured:
    """A database of a server that offers TLS, its authority, and one that did not sign it."""

    database: MariaDB
    authority: Path
    stranger: Path


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    with certificates() as made:
        tls = (f"--ssl-cert={made.server}", f"--ssl-key={made.key}")
        with running_mariadb(*tls) as server:
            database = create_database(server, f"tls{next(NUMBERS)}")
            yield Secured(database, made.authority, made.stranger)


def url(secured: Secured, host: str = NAME, query: str = "") -> str:
    return secured.database.url.replace("@127.0.0.1:", f"@{host}:") + query


@pytest.mark.parametrize("query", ["", "?sslmode=verify-full", "?ssl-mode=VERIFY_IDENTITY"])
def test_the_server_that_is_meant_is_talked_to_encrypted(secured: Secured, query: str):
    target = parse_target(url(secured, query=query), ca_file=str(secured.authority))
    assert (dict(target.parameters)["sslmode"], target.warnings) == ("verify-full", ())
    with closing(connect(target, "whimbrel")) as session:
        assert own(session, "SHOW STATUS LIKE 'Ssl_cipher'")[0][1] != ""


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        pytest.param("127.0.0.1", "authority", id="another name"),
        pytest.param(NAME, "stranger", id="another authority"),
    ],
)
def test_another_server_is_not_talked_to(secured: Secured, host: str, authority: str):
    target = parse_target(url(secured, host), ca_file=str(getattr(secured, authority)))
    with pytest.raises(TransientError) as failed:
        connect(target, "whimbrel")
    assert failed.value.reason == "TLSFailed"


def test_a_weaker_mode_is_honoured_with_a_warning(secured: Secured):
    target = parse_target(
        url(secured, "127.0.0.1", "?sslmode=verify-ca"), ca_file=str(secured.authority)
    )
    assert target.warnings[0].startswith("WeakTLS: ")
    with closing(connect(target, "whimbrel")) as session:
        assert own(session, "SHOW STATUS LIKE 'Ssl_cipher'")[0][1] != ""


def test_without_a_word_tls_is_taken_where_it_is_offered(secured: Secured):
    for query, encrypted in (("", True), ("?sslmode=disable", False)):
        with closing(connect(parse_target(url(secured, query=query)), "whimbrel")) as session:
            cipher = own(session, "SHOW STATUS LIKE 'Ssl_cipher'")[0][1]
            assert bool(cipher) is encrypted


# ---- Django's drivers, through our wrapper ----


def migrate(secured: Secured, driver: str, mode: str, host: str, authority: Path) -> str:
    """Let Django carry out one migration of the example; return what went wrong, or ""."""
    target = replace(
        parse_target(url(secured, host)),
        parameters=(("sslmode", mode), ("sslrootcert", str(authority))),
    )
    home = django_with_mysqlclient() if driver == "mysqlclient" else Path(sys.prefix)
    text = wrapper_text(foreign_tool(Tool.DJANGO).started)
    words = ["manage.py", "", "DATABASE_URL", "migrate", "people", "0001_create_people"]
    done = subprocess.run(
        [home / "bin/python", "-c", text, *words],
        cwd=ROOT / "examples/tools/django",
        env={"DATABASE_URL": render_url(target, "mysql"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    problems = [line for line in done.stdout.splitlines() if '"problem"' in line]
    assert bool(problems) is (done.returncode != 0), done
    return "".join(problems)


@pytest.mark.parametrize("driver", ["pymysql", "mysqlclient"])
def test_django_talks_to_nobody_but_the_server_that_is_meant(secured: Secured, driver: str):
    login, database = secured.database.user, secured.database
    database.admin().run(f"ALTER USER '{login}'@'127.0.0.1' REQUIRE SSL")
    try:
        for mode in ("require", "verify-ca", "verify-full"):
            assert migrate(secured, driver, mode, NAME, secured.authority) == "", mode
        assert "1045" in migrate(secured, driver, "disable", NAME, secured.authority)
        for mode in ("verify-ca", "verify-full"):
            refused = migrate(secured, driver, mode, NAME, secured.stranger)
            assert re.search("certificate", refused), (mode, refused)
        refused = migrate(secured, driver, "verify-full", "127.0.0.1", secured.authority)
        assert re.search("certificate", refused), refused
    finally:
        database.admin().run(f"ALTER USER '{login}'@'127.0.0.1' REQUIRE NONE")
