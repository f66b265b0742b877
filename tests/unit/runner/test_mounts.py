"""What stands in a mounted Secret is taken as it is, or refused in a sentence."""

import pytest

from whimbrel.model.errors import TransientError
from whimbrel.model.spec import parse_spec
from whimbrel.runner.mounts import read_run_target, read_target

INLINE = {"tool": "sql", "inline": {"files": {"001_x.up.sql": "SELECT 1"}}}
NAMES = ("host", "port", "name", "user", "password")


def spec(**database):
    return parse_spec({"database": database, "migrations": INLINE})


def url_from(name):
    return {"secretKeyRef": {"name": name, "key": "url"}}


@pytest.fixture
def parts(tmp_path):
    """A Secret of five parts, as it is mounted."""
    (tmp_path / "database").mkdir()
    for name, value in zip(NAMES, (b"db", b"5432", b"shop", b"app", b"secret"), strict=True):
        (tmp_path / "database" / name).write_bytes(value)
    return spec(partsFrom={"secretRef": {"name": "db"}})


@pytest.mark.parametrize(
    ("written", "password"),
    [
        pytest.param(b"secret\n", "secret", id="an editor's newline"),
        pytest.param(b"secret\r\n", "secret", id="another editor's"),
        pytest.param(b" se cret\t ", " se cret\t ", id="spaces are a part of it"),
        pytest.param(b"a\r\nb", "a\r\nb", id="and what is inside"),
        pytest.param("gehe\u00efm\u00a0".encode(), "gehe\u00efm\u00a0", id="and other letters"),
    ],
)
def test_a_password_is_taken_literally(parts, tmp_path, written, password):
    (tmp_path / "database/password").write_bytes(written)
    assert read_target(parts, tmp_path).password == password


def test_a_url_may_have_spaces_around_it(tmp_path):
    (tmp_path / "database").mkdir()
    (tmp_path / "database/url").write_bytes(b" postgresql://app:secret@db/shop \n")
    assert read_target(spec(urlFrom=url_from("db")), tmp_path).password == "secret"


SENTENCE = (
    "Secret 'db': what stands under the key {!r} is no UTF-8 (byte 2); write it again, the run "
    "goes on by itself"
)


@pytest.mark.parametrize("name", ["password", "host"])
def test_what_is_no_text_is_named_and_not_shown(parts, tmp_path, name):
    (tmp_path / "database" / name).write_bytes(b"se\xff\xfecret")
    with pytest.raises(TransientError) as wrong:
        read_target(parts, tmp_path)
    assert (wrong.value.reason, wrong.value.message) == ("SecretNotText", SENTENCE.format(name))


def test_a_prepared_login_that_is_no_text_is_named(tmp_path):
    (tmp_path / "run-role").mkdir()
    (tmp_path / "run-role/url").write_bytes(b"po\xff")
    asked = spec(urlFrom=url_from("db"), runRole=url_from("runs"))
    with pytest.raises(TransientError) as wrong:
        read_run_target(asked, tmp_path)
    assert wrong.value.message == SENTENCE.replace("'db'", "'runs'").format("url")
