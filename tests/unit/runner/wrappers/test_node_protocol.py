"""What stands in front of every wrapper in Node: its lines, its problems, what a URL says."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.quoted_values import SAID
from whimbrel.planning.tools.foreign import Started
from whimbrel.planning.tools.output import MARK
from whimbrel.planning.tools.runtimes import NODE
from whimbrel.runner import run_tool

ALL = "begin, databaseOf, firstLine, givenWords, hear, inspected, ownFrame, projectRequire, "
ALL += "report, run, serverOf, sha256Of, sqlstateOf, statementOf, stop, tell, withoutValues"


def node(tmp_path: Path, monkeypatch, program: str, *words: str) -> tuple[int, list[dict], str]:
    """Return the exit code, the lines for the runner, and what was written for a person."""
    for name in NODE.protocols:
        (tmp_path / name).write_text((run_tool._WRAPPERS / name).read_text())
    (tmp_path / "tool.js").write_text(
        f'"use strict";\nconst {{ {ALL} }} = require("./node_protocol.js");\n{program}\n'
    )
    monkeypatch.setattr(run_tool, "_WRAPPERS", tmp_path)
    text = run_tool.wrapper_text(Started(NODE, "tool.js", lambda _: ()))
    argv = ["node", *NODE.before, text, *NODE.after, *words]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    told = [json.loads(x.removeprefix(MARK)) for x in done.stdout.split("\n") if x.startswith(MARK)]
    return done.returncode, told, done.stdout + done.stderr


@pytest.fixture
def said(tmp_path: Path, monkeypatch):
    return lambda program, *words: node(tmp_path, monkeypatch, program, *words)


def test_words_come_as_they_were_given(said):
    code, told, _ = said("run(() => tell('got', {words: givenWords()}));", "", "--to", "-x", "a b")
    assert (code, told) == (0, [{"kind": "got", "words": ["", "--to", "-x", "a b"]}])


def test_long_lines_are_written_before_the_end(said):
    long = "run(() => { for (let i = 0; i < 50; i++) tell('line', {i, text: 'x'.repeat(30000)}); "
    code, told, _ = said(long + "stop('Enough', {}); });")
    assert (code, len(told)) == (1, 51)
    assert told[-1] == {"kind": "problem", "reason": "Enough"}


def test_no_name_of_ours_is_seen_by_the_project(said, tmp_path: Path):
    (tmp_path / "theirs.js").write_text("module.exports = [typeof tell, typeof fs, typeof MARK]")
    _, told, _ = said("run(() => tell('seen', {types: projectRequire('./theirs.js')}));")
    # `fs` is what `node -e` itself gives.
    assert told[0]["types"] == ["undefined", "object", "undefined"]


def test_a_problem_names_the_projects_line_and_no_value(said, tmp_path: Path):
    (tmp_path / "node_modules/db").mkdir(parents=True)
    (tmp_path / "node_modules/db/index.js").write_text(
        "exports.query = async () => { throw Object.assign(new Error('Validation error'), {\n"
        "  name: 'DatabaseError', sql: \"INSERT INTO t (a, b) VALUES (7, 'secret')\",\n"
        "  original: Object.assign(new Error('duplicate key\\nDETAIL: secret'),"
        " {code: '23505', detail: 'secret'})}); };"
    )
    (tmp_path / "m").mkdir()
    (tmp_path / "m/001.js").write_text(
        "const db = require('db');\nexports.up = () =>\n  db.query();"
    )
    code, told, everything = said("run(() => projectRequire('./m/001.js').up());")
    assert code == 1
    assert told == [
        {
            "kind": "problem",
            "reason": "DatabaseError",
            "text": "duplicate key",
            "sqlstate": "23505",
            "statement": "INSERT INTO t (a, b) VALUES (…",
            "file": "m/001.js",
            "line": 3,
        }
    ]
    assert "secret" not in everything


def test_a_file_that_cannot_be_read_is_named(said, tmp_path: Path):
    (tmp_path / "broken.js").write_text("const a = 1;\nconst = 2;\n")
    _, told, _ = said("run(() => projectRequire('./broken.js'));")
    assert {name: told[0][name] for name in ("reason", "file", "line")} == {
        "reason": "SyntaxError",
        "file": "broken.js",
        "line": 2,
    }


@pytest.mark.parametrize(
    "late",
    [
        "setTimeout(() => { throw new TypeError('late'); })",
        "Promise.reject(new TypeError('late'))",
    ],
    ids=["exception", "rejection"],
)
def test_what_nobody_caught_is_a_problem_too(said, late: str):
    code, told, _ = said(f"run(() => {{ {late}; return new Promise(() => {{}}); }});")
    assert (code, told[0]["reason"], told[0]["text"]) == (1, "TypeError", "late")


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT 1", "SELECT …"),
        ("UPDATE t1 SET a = $1 WHERE b2 = 'x'", "UPDATE t1 SET a = $1 WHERE b2 = …"),
        ("Executing (default): ALTER TABLE a\n ADD b VARCHAR(255) DEFAULT 'c';",
         "ALTER TABLE a ADD b VARCHAR(255) DEFAULT …"),
        ("DO $$ BEGIN PERFORM 1; END $$", "DO …"),
    ],
    ids=["number", "text", "definition", "dollars"],
)  # fmt: skip
def test_a_statement_is_shown_up_to_its_first_value(said, sql: str, shown: str):
    _, told, _ = said("run(() => tell('is', {sql: withoutValues(givenWords()[0])}));", sql)
    assert told[0]["sql"] == shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param(
            "postgresql://u%40x:p%2F%25@h:5433/d%20b?application_name=w%3A1",
            {"user": "u@x", "password": "p/%", "host": "h", "port": 5433, "database": "d b",
             "scheme": "postgresql", "parameters": {"application_name": "w:1"}},
            id="every part is decoded",
        ),
        pytest.param(
            "postgresql://u@/d?host=%2Frun%2Fpg&port=5432",
            {"host": "/run/pg", "port": 5432, "password": "", "parameters": {}},
            id="a socket",
        ),
        pytest.param("postgresql://u@[::1]:5432/d", {"host": "::1", "port": 5432}, id="IPv6"),
    ],
)  # fmt: skip
def test_a_url_is_taken_apart(said, url: str, expected: dict):
    _, told, _ = said("run(() => tell('is', databaseOf(givenWords()[0])));", url)
    assert expected.items() <= told[0].items()


def test_limits_win_over_the_projects_own_and_the_rest_stays(said):
    theirs = "{application_name: 'x', lock_timeout: 0, options: '-c a=1', keepAlive: true, ssl: 1}"
    ours = "{application_name: 'w', options: '-c lock_timeout=5', sslmode: 'disable'}"
    _, told, _ = said(f"run(() => tell('is', serverOf('postgresql').options({ours}, {theirs})));")
    assert told[0] == {
        "kind": "is",
        "keepAlive": True,
        "ssl": False,
        "application_name": "w",
        "options": "-c a=1 -c lock_timeout=5",
    }


@pytest.mark.parametrize(
    ("mode", "shown"),
    [
        ("verify-full", {"verifyIdentity": True}),
        ("require", {"rejectUnauthorized": False}),
        ("prefer", 1),
    ],
)
def test_libpqs_words_for_tls(said, mode: str, shown: object):
    program = (
        f"run(() => tell('is', serverOf('postgresql').options({{sslmode: '{mode}'}}, {{ssl: 1}})));"
    )
    assert said(program)[1][0]["ssl"] == shown


ROW = "INSERT INTO a VALUES (…"
IN_ONE = ["START TRANSACTION", "INSERT INTO a VALUES (1)", "ALTER TABLE a ADD b int"]


@pytest.mark.parametrize(
    ("scheme", "statements", "failed", "stays"),
    [
        ("postgresql", IN_ONE, "SELECT x", []),
        ("postgresql", [*IN_ONE, "COMMIT"], "SELECT x", [ROW, IN_ONE[2]]),
        ("postgresql", ["BEGIN; DELETE FROM a; COMMIT"], "", ["BEGIN; DELETE FROM a; COMMIT"]),
        ("postgresql", ["SELECT refill()", "SELECT count(*) FROM a"], "", ["SELECT refill()"]),
        ("postgresql", ["SELECT * FROM current_schema()"], "CALL refill()", ["CALL refill()"]),
        ("postgresql", IN_ONE, "CALL refill()", []),
        ("mariadb", IN_ONE, "SELECT x", [ROW, IN_ONE[2]]),
        ("mariadb", [*IN_ONE, "ROLLBACK"], "", [ROW, IN_ONE[2]]),
        ("mariadb", IN_ONE[:2], "/* DDL */ DROP TABLE b", [ROW]),
        ("mariadb", IN_ONE[:2], "UPDATE a SET x = 1", []),
        ("mariadb", [*IN_ONE[:2], "CREATE TEMPORARY TABLE c (n int)"], "DELETE FROM x", []),
        ("mariadb", ['UPDATE a SET b = "ada"'], "", ["UPDATE a SET b = …"]),
    ],
)
def test_what_stays_is_told_by_the_rules_of_the_server(
    said, scheme: str, statements: list[str], failed: str, stays: list[str]
):
    program = "const [scheme, failed, ...all] = givenWords(); run(() => { serverOf(scheme); "
    program += "begin('m'); for (const sql of all) hear(run, sql); hear(run, failed, {}); });"
    _, told, _ = said(program, scheme, failed, *statements)
    assert [each["statement"] for each in told if each["kind"] == "stays"] == stays


@pytest.mark.parametrize(
    ("number", "text", "shown"),
    [
        (
            1062,
            "Duplicate entry 'ada's' for key 'email'",
            "entry '…' for key 'email'",
        ),
        (
            1366,
            "Incorrect integer value: 'ada' for column `b`",
            "value: '…' for column `b`",
        ),
        (1064, "syntax error near 'x = 'ada'' at line 1", "near '…' at line 1"),
        (1146, "Table 'shop.nowhere' doesn't exist", "Table 'shop.nowhere' doesn't exist"),
    ],
)
def test_an_error_of_mariadb_is_shown_without_the_row_that_it_quotes(
    said, number: int, text: str, shown: str
):
    program = "const [number, text] = givenWords(); run(() => { throw Object.assign("
    program += "new Error(text), {errno: Number(number), sqlState: '23000'}); });"
    _, told, _ = said(program, str(number), text)
    assert (told[0]["text"].endswith(shown), told[0]["sqlstate"]) == (True, str(number)), told


def test_what_is_quoted_of_a_row_is_cut(said):
    errors = [{"code": code, "message": text} for code, text, _ in SAID]
    program = f"run(() => {json.dumps(errors)}.forEach((each) => {{"
    program += " const original = Object.assign(new Error(each.message), {code: each.code});"
    program += " tell('shown', {text: firstLine({original})}); }));"
    _, told, _ = said(program)
    assert [each["text"] for each in told] == [shown for _, _, shown in SAID]
