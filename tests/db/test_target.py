"""URLs: parsed by libpq, refused without telling a secret, rendered so that tools can log in."""

import re
import subprocess
from dataclasses import replace

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine, text

from tests.postgres import BINARIES
from whimbrel.model.errors import RefusedError
from whimbrel.runner.redact import Redactor
from whimbrel.runner.target import (
    Login,
    Target,
    conninfo,
    render_url,
    target_from_parts,
)
from whimbrel.runner.urls import parse_target

PASSWORDS = strategies.text(min_size=1, max_size=20).filter(
    lambda word: "\0" not in word and word.isprintable()
)
PLAIN = Target("db", 5432, "shop", "ann", "s3cret")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("postgresql://ann:s3cret@db/shop", PLAIN, id="short"),
        pytest.param("postgres://ann:s3cret@db:5432/shop", PLAIN, id="postgres://"),
        pytest.param("postgresql+psycopg2://ann:s3cret@db/shop\n", PLAIN, id="driver, newline"),
        pytest.param(
            "postgresql://ann:p%25%40w%23%2F1@[::1]:6432/my%20shop?sslmode=require",
            Target("::1", 6432, "my shop", "ann", "p%@w#/1", (("sslmode", "require"),)),
            id="everything encoded, IPv6",
        ),
        pytest.param(
            "postgresql://ann:p#1@db/shop", replace(PLAIN, password="p#1"), id="a raw #"
        ),
        pytest.param(
            "postgresql://ann@/shop?host=/run/pg", replace(PLAIN, host="/run/pg", password=""),
            id="Unix socket",
        ),
        pytest.param(
            "postgresql://ann:s3cret@a:5433,b:5433/shop?target_session_attrs=read-write",
            Target("a,b", 5433, "shop", "ann", "s3cret", (("target_session_attrs", "read-write"),)),
            id="two hosts",
        ),
    ],
)  # fmt: skip
def test_parse(url, expected):
    assert parse_target(url) == expected


@pytest.mark.parametrize(
    ("url", "told"),
    [
        pytest.param("oracle://ann:hunter2@db/shop", "must begin with postgresql://", id="scheme"),
        pytest.param("hunter2", "must begin with", id="no URL"),
        pytest.param("postgresql://ann:hunter2%@db/shop", "%25", id="a raw %"),
        pytest.param("postgresql://ann:hunter2%zz@db/shop", "%25", id="a wrong escape"),
        pytest.param("postgresql://ann:hun@ter2@db/shop", "@ as %40", id="a raw @"),
        pytest.param("postgresql://ann:hun/ter2@db/shop", "/ as %2F", id="a raw /"),
        pytest.param("postgresql://ann:hun?ter2@db/shop", "not allowed", id="a raw ?"),
        pytest.param("postgresql://ann:hun?ter2=1@db/shop", "a parameter in it", id="a raw ? ="),
        pytest.param("postgresql://ann:hunter2@db:x/shop", "port", id="port is a word"),
        pytest.param("postgresql://ann:hunter2@db:99999/shop", "port", id="port too high"),
        pytest.param("postgresql://ann:hunter2@a:1,b:2/shop", "same port", id="two ports"),
        pytest.param("postgresql://:hunter2@db/shop", "login is missing", id="no login"),
        pytest.param("postgresql://ann:hunter2@db/", "database is missing", id="no database"),
        pytest.param("postgresql://ann:hunter2@/shop", "host is missing", id="no host"),
        pytest.param("postgresql://ann:hunter2@db/shop%00x", "libpq cannot", id="NUL"),
        *(
            pytest.param(
                f"postgresql://ann:hunter2@db/shop?{name}=hunter2", f"parameter {name} is", id=name
            )
            for name in ("passfile", "service", "sslkey", "sslcert", "hostaddr", "sslaccept")
        ),
    ],
)
def test_refusals_say_what_to_change_and_tell_no_secret(url, told):
    with pytest.raises(RefusedError) as refused:
        parse_target(url)
    assert told in refused.value.message
    assert refused.value.__cause__ is None
    for part in ("hunter2", "ter2", "hun@", "hun/", "zz"):
        assert part not in refused.value.message


def test_the_words_of_prismas_urls():
    url = "postgresql://ann:x@db/shop?connection_limit=5&schema=my%20Shop&pgbouncer=true"
    assert dict(parse_target(url).parameters) == {"options": '-c search_path="my\\ Shop"'}
    both = parse_target(url + "&options=-c%20jit%3Doff")
    assert dict(both.parameters)["options"].startswith("-c jit=off -c search_path=")
    assert parse_target("postgresql://ann:x@db/shop?schema=").parameters == ()


def test_parts_are_taken_literally():
    parts = {"host": "db", "port": "5432\n", "dbname": "shop host=evil", "user": "ann",
             "password": "p%40' host=x"}  # fmt: skip
    target = target_from_parts(parts)
    assert (target.dbname, target.password) == ("shop host=evil", "p%40' host=x")
    assert conninfo_to_dict(conninfo(target))["host"] == "db"
    with pytest.raises(RefusedError, match="host is missing"):
        target_from_parts({**parts, "host": ""})


@pytest.mark.parametrize(
    ("url", "mode", "warned"),
    [
        ("postgresql://ann:x@db/shop", "verify-full", False),
        ("postgresql://ann:x@db/shop?sslmode=verify-full", "verify-full", False),
        ("postgresql://ann:x@db/shop?sslmode=require", "require", True),
        ("postgresql://ann:x@db/shop?sslmode=verify-ca", "verify-ca", True),
    ],
)
def test_a_named_authority_means_verify_full(url, mode, warned):
    target = parse_target(url, ca_file="/ca.crt")
    parameters = dict(target.parameters)
    assert (parameters["sslmode"], parameters["sslrootcert"]) == (mode, "/ca.crt")
    assert [text.split(":")[0] for text in target.warnings] == ["WeakTLS"] * warned


def test_neither_repr_nor_str_shows_the_password():
    assert "s3cret" not in repr(PLAIN) + str(PLAIN) + repr(Login("a", "s3cret"))


@given(PASSWORDS)
@example("p%40w#1")
@example("%")
@example("a b+c?d&e=f/g:h@i#j%25'\"\\")
def test_a_rendered_url_is_read_back_the_same(password):
    target = replace(PLAIN, password=password, user=password, dbname=password)
    assert parse_target(render_url(target, "postgresql")) == target


def test_options_of_the_url_and_ours_come_together_and_our_name_wins():
    target = parse_target("postgresql://ann:x@db/shop?options=-c%20a%3Db&application_name=shop")
    assert parse_target(render_url(target, "postgresql")) == target
    ours = {"options": "-c lock_timeout=100ms", "application_name": "whimbrel:1:shop/schema"}
    url = render_url(target, "postgresql", **ours)
    assert dict(parse_target(url).parameters) == {
        "application_name": "whimbrel:1:shop/schema",
        "options": "-c a=b -c lock_timeout=100ms",
    }


@pytest.mark.parametrize(
    ("scheme", "query"),
    [
        ("postgresql", "sslmode=require"),
        ("postgresql+psycopg2", "sslmode=require"),
        ("postgresql+asyncpg", "ssl=require"),
        ("postgresql+pg8000", ""),
    ],
)
def test_each_driver_gets_words_that_it_knows(scheme, query):
    target = replace(PLAIN, parameters=(("sslmode", "require"),))
    assert render_url(target, scheme) == f"{scheme}://ann:s3cret@db:5432/shop" + (
        f"?{query}" if query else ""
    )


def test_tools_log_in_with_what_we_render(database):
    target = parse_target(database.url)
    assert target.password == "p%40w#1"
    options = "-c lock_timeout=123ms"
    url = render_url(target, "postgresql+psycopg", options=options)
    engine = create_engine(url)
    with engine.connect() as session:
        assert session.execute(text("show lock_timeout")).scalar() == "123ms"
    engine.dispose()
    psql = BINARIES[16] / "psql"
    url = render_url(target, "postgresql", options=options)
    done = subprocess.run(
        [psql, "-Atc", "show lock_timeout", url], capture_output=True, text=True, check=True
    )
    assert done.stdout == "123ms\n"
    with psycopg.connect(conninfo(target)) as session:
        assert session.info.user == database.user


def test_another_login_in_the_url(database):
    url = render_url(parse_target(database.url), "postgresql", login=Login("bob", "p@ss/%"))
    assert (parse_target(url).user, parse_target(url).password) == ("bob", "p@ss/%")


SPELLINGS = [
    pytest.param("p%w@1#x", "p%w@1#x", id="raw"),
    pytest.param("p%w@1#x", "p%25w%401%23x", id="percent-encoded"),
    pytest.param("p%w@1#x", "p%25w@1%23x", id="in part"),
    pytest.param("p%w@1#x", "p%2525w%25401%2523x", id="twice"),
    pytest.param("p%w@1#x", "p%%w@1#x", id="ini file"),
    pytest.param("a/b=c", "a%2fb%3dc", id="lower-case hex"),
    pytest.param("pass", "%70%61ss", id="letters encoded"),
    pytest.param("a b", "a+b", id="space as plus"),
    pytest.param('a"b\\c', 'a\\"b\\\\c', id="JSON"),
    pytest.param("ünï", "%C3%BCn%c3%af", id="UTF-8"),
    pytest.param("(.*)[", "(.*)[", id="characters of patterns"),
]


@pytest.mark.parametrize(("secret", "spelled"), SPELLINGS)
def test_every_spelling_of_a_password_goes(secret, spelled):
    assert Redactor([secret, ""]).clean(f"url://u:{spelled}@h") == "url://u:***@h"


@given(PASSWORDS, strategies.text(max_size=20))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_password_survives(password, around):
    url = render_url(replace(PLAIN, password=password), "postgresql")
    cleaned = Redactor([password]).clean(f"{around}{password}{around} {url}")
    assert password not in re.sub(re.escape("***"), "", cleaned) or set(password) <= {"*"}


def test_nothing_to_hide_changes_nothing():
    assert Redactor([]).clean("text") == "text"
