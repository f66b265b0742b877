"""TLS to a real MariaDB: nobody but the server that is meant is talked to."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import NUMBERS
from tests.db.certificates import NAME, certificates
from tests.mariadb import MariaDB, create_database, running_mariadb
from whimbrel.model.errors import TransientError
from whimbrel.runner.sessions import connect, own
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
