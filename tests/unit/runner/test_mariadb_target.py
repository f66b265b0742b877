"""URLs of MariaDB: parsed, refused without telling a secret, rendered for tools."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st
from sqlalchemy import make_url

from whimbrel.model.errors import RefusedError
from whimbrel.runner.mariadb_target import mariadb_from_parts, render_mariadb
from whimbrel.runner.target import Login, Target
from whimbrel.runner.urls import parse_target

PLAIN = Target("db", 3306, "shop", "ann", "s3cret", server="mariadb")
WORDS = st.text(min_size=1, max_size=20).filter(lambda word: word.isprintable())


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mysql+pymysql", "MySQL"])
def test_a_url_is_read(scheme: str):
    assert parse_target(f" {scheme}://ann:s3cret@db/shop\n") == PLAIN
    there = parse_target(f"{scheme}://ann:s3cret@db:3307/shop?charset=latin1")
    assert there == replace(PLAIN, port=3307)


def test_the_words_of_prismas_urls():
    pool = "connection_limit=5&pool_timeout=10&socket_timeout=5&connect_timeout=5"
    assert parse_target(f"mysql://ann:s3cret@db/shop?{pool}&statement_cache_size=0") == PLAIN
    strict = parse_target("mysql://ann:s3cret@db/shop?sslaccept=strict")
    assert strict.parameters == (("sslmode", "verify-full"),)
    with pytest.raises(RefusedError, match="not allowed"):
        parse_target("mysql://ann:s3cret@db/shop?sslcert=/etc/passwd")


PARTS = {"host": "db", "port": "3306", "dbname": "shop", "user": "ann", "password": "s3cret"}


def test_parts_are_taken_literally():
    assert mariadb_from_parts({**PARTS, "port": ""}) == PLAIN
    found = mariadb_from_parts({**PARTS, "password": "p%40#/?\n", "port": "3307"}, ca_file="/ca")
    assert (found.password, found.port) == ("p%40#/?", 3307)
    assert dict(found.parameters) == {"sslmode": "verify-full", "sslrootcert": "/ca"}


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("host", "", "a host is missing"),
        ("user", "", "a login is missing"),
        ("dbname", "", "a database is missing"),
        ("host", "ann:hunter2@db", "holds a character that none has"),
        ("port", "hunter2", "the port is not a number"),
        ("password", "hunter2\0", "NUL"),
    ],
)
def test_a_wrong_part_is_refused_without_telling_a_secret(part: str, value: str, words: str):
    with pytest.raises(RefusedError, match=words) as refused:
        mariadb_from_parts({**PARTS, part: value})
    assert "hunter2" not in str(refused.value)


def test_a_unix_socket_is_a_host():
    found = parse_target("mysql://ann@localhost/shop?unix_socket=/run/mysqld.sock")
    assert (found.host, found.dbname) == ("/run/mysqld.sock", "shop")


@given(user=WORDS, password=WORDS)
def test_what_is_rendered_is_read_again(user: str, password: str):
    target = replace(PLAIN, user=user, password=password)
    assert parse_target(render_mariadb(target, "mysql")) == target
    url = make_url(render_mariadb(target, "mysql+pymysql", options="SET x = 1"))
    assert (url.username, url.password) == (user, password)
    assert url.query == {"charset": "utf8mb4", "init_command": "SET x = 1"}


def test_a_login_of_another_and_what_only_some_drivers_know():
    secured = replace(PLAIN, parameters=(("sslmode", "verify-full"), ("sslrootcert", "/ca")))
    url = make_url(render_mariadb(secured, "mysql+pymysql", login=Login("bob", "p@ss")))
    assert (url.username, url.password) == ("bob", "p@ss")
    assert (url.query["ssl_ca"], url.query["ssl_verify_identity"]) == ("/ca", "true")
    assert render_mariadb(PLAIN, "mysql+asyncmy") == "mysql+asyncmy://ann:s3cret@db:3306/shop"
    with pytest.raises(RefusedError, match="TLS cannot be asked of driver asyncmy"):
        render_mariadb(secured, "mysql+asyncmy")
    told = make_url(render_mariadb(secured, "mysql")).query
    assert dict(told) == {"sslmode": "verify-full", "sslrootcert": "/ca"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://ann:hunter2@/shop", "a host is missing"),
        ("mysql://:hunter2@db/shop", "a login is missing"),
        ("mysql://ann:hunter2@db", "a database is missing"),
        ("mysql://ann:hun#ter2@db/shop", "cannot be read"),
        ("mysql://ann:hunter2@db:port/shop", "cannot be read"),
        ("mysql://ann:hunter2@db/shop?local_infile=1", "not allowed"),
        ("mysql://ann:hunter2@db/shop?sslmode=maybe", "sslmode is none of"),
    ],
)
def test_what_is_no_url_is_refused_without_telling_a_secret(url: str, words: str):
    with pytest.raises(RefusedError, match=words) as refused:
        parse_target(url)
    assert "hunter2" not in str(refused.value)
    assert "ter2" not in str(refused.value)
