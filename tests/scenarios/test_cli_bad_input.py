"""Bad input: one clear sentence, exit code 2 or 1, nothing touched, no traceback, no password."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.blue_green import blue_green
from tests.postgres import Postgres, free_port
from tests.scenarios.terminal import Terminal

GOOD = {"001_a.up.sql": "CREATE TABLE a (n int);"}


@pytest.fixture
def terminal(tmp_path: Path, database: Postgres) -> Terminal:
    return Terminal(tmp_path, database.url)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param({"001_a.up.sql": "CREATE TABL a;"}, "001_a.up.sql", id="syntax error"),
        pytest.param(GOOD | {"002_b.down.sql": "SELECT 1"}, "002_b", id="a down without an up"),
        pytest.param(GOOD | {"001_b.up.sql": "SELECT 1"}, "001_b", id="two files, one number"),
        pytest.param({"a.sql": "SELECT 1"}, "a.sql", id="no number"),
        pytest.param(
            {"001_a.up.sql": "BEGIN; SELECT 1; COMMIT;"},
            "transaction control",
            id="transaction control",
        ),
        pytest.param({"001_a.up.sql": ""}, "001_a.up.sql", id="empty file"),
    ],
)
def test_bad_sql(terminal: Terminal, database: Postgres, files: dict[str, str], words: str):
    (folder := terminal.home / "files").mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    said = terminal.type(f"whimbrel run {terminal.manifest(GOOD)} --project files")
    assert said.code == 2, said
    assert words in said.err
    assert database.run("SELECT to_regclass('a')") == [(None,)]


def test_nul_bytes_and_a_huge_file(terminal: Terminal):
    (folder := terminal.home / "files").mkdir()
    (folder / "001_a.up.sql").write_bytes(b"SELECT 1\0;")
    file = terminal.manifest(GOOD)
    said = terminal.type(f"whimbrel run {file} --project files")
    assert (said.code, "NUL" in said.err) == (2, True), said
    (folder / "001_a.up.sql").write_bytes(b"-- " + b"x" * (17 * 1024 * 1024))
    said = terminal.type(f"whimbrel run {file} --project files")
    assert (said.code, "001_a.up.sql: 17825795 bytes; a migration file may hold" in said.err) == (
        2,
        True,
    ), said


@pytest.mark.parametrize(
    ("text", "words"),
    [("kind: Pod", "holds no object of kind"), ("a: [", "is not YAML"), ("\0", "#x0000")],
)
def test_a_file_that_is_no_manifest(terminal: Terminal, text: str, words: str):
    (terminal.home / "x.yaml").write_text(text)
    said = terminal.type("whimbrel run x.yaml")
    assert (said.code, words in said.err, said.err.count("\n")) == (2, True, 1), said


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("oracle://u@h/d", "must begin with postgresql://", id="another database"),
        pytest.param("postgresql://", "is missing", id="nothing in it"),
        pytest.param("postgresql://u:p@w#1@h/d", "refused", id="unencoded password"),
    ],
)
def test_a_wrong_url(terminal: Terminal, url: str, words: str):
    wrong = replace(terminal, url=url)
    said = wrong.type(f"whimbrel run {wrong.manifest(GOOD)}")
    assert (said.code, words in said.err, said.err.count("\n")) == (2, True, 1), said


def test_a_wrong_password_is_said_at_once(terminal: Terminal, database: Postgres):
    wrong = replace(terminal, url=replace(database, password="p%2540w%231x").url)
    said = wrong.type(f"whimbrel run {wrong.manifest(GOOD)}", seconds=20)
    assert said.code == 2, said
    assert said.err.endswith("the login or the password is wrong\n")


def test_a_missing_database_is_said_at_once(terminal: Terminal, database: Postgres):
    wrong = replace(terminal, url=replace(database, dbname="nowhere").url)
    said = wrong.type(f"whimbrel run {wrong.manifest(GOOD)}", seconds=20)
    assert said.code == 2, said
    assert "nowhere" in said.err


def test_a_database_that_is_down(terminal: Terminal, database: Postgres):
    wrong = replace(terminal, url=replace(database, port=free_port()).url)
    said = wrong.type(f"whimbrel run {wrong.manifest(GOOD)} --wait 1s")
    assert (said.code, "nothing was touched" in said.err) == (2, True), said
    assert not list((terminal.home / ".whimbrel/objects").glob("*.json"))


def test_names_that_nobody_knows(terminal: Terminal):
    for command in ("status", "approve", "retry", "rollback", "history"):
        unknown = replace(terminal, url="").type(f"whimbrel {command} nothing")
        assert unknown.code == 2, unknown
        assert unknown.err.count("\n") == 1


def test_options_that_contradict_each_other(terminal: Terminal):
    file = terminal.manifest(GOOD)
    assert terminal.type(f"whimbrel run {file} -n other").code == 2
    assert terminal.type(f"whimbrel run {file} --wait soon").code == 2
    assert terminal.type(f"whimbrel run {file} --allow-data-loss").code == 2


WORKLOADS = [{"kind": "Deployment", "name": "shop"}]
ROLLING = {"strategy": {"type": "Rolling", "rolling": {"workloadRefs": WORKLOADS}}, "soak": "60s"}
ROLLED = "Rollout, Soak, Finish need a cluster"
SWITCHED = "Prepare, Switch, PostSwitch, Soak, Finish need a cluster"


@pytest.mark.parametrize(
    ("release", "words"),
    [
        pytest.param(ROLLING, ROLLED, id="a rolling release"),
        pytest.param(blue_green(), SWITCHED, id="a blue-green release"),
    ],
)
def test_what_only_a_cluster_carries_out_is_refused_before_a_server_starts(
    terminal: Terminal, release: dict[str, object], words: str
):
    embedded = replace(terminal, url="")
    said = embedded.type(f"whimbrel run {embedded.manifest(GOOD, **release)}")
    assert (said.code, words in said.err, said.err.count("\n")) == (2, True, 1), said
    assert "run a copy of it without strategy, healthChecks and soak here" in said.err
    assert not list(terminal.home.rglob("PG_VERSION"))
