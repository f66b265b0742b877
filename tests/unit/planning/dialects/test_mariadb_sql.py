"""One file for MariaDB: its statements, when each commits, what it names, what is refused."""

from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from whimbrel.model.errors import RefusedError
from whimbrel.model.steps import Commits, Piece
from whimbrel.planning.dialects.mariadb_sql import read_sql


def pieces(text: str) -> list[Piece]:
    return [each.tree for each in read_sql("f.sql", text, "whimbrel").parsed]


def test_statements_are_cut_where_the_server_would_cut_them():
    text = (
        "-- whimbrel: repeatable\n# a; comment\nREPLACE INTO a VALUES ('x;y', \"it''s;\", `c;d`);\n"
        "/* b; c */ ;;\n\nSELECT 'a\\';b'; -- the end;"
    )
    found = [(each.statement.line, each.statement.text) for each in pieces(text)]
    assert found == [
        (3, "REPLACE INTO a VALUES ('x;y', \"it''s;\", `c;d`)"),
        (6, "SELECT 'a\\';b'"),
    ]


def test_a_stored_program_with_a_body_takes_the_rest_of_the_file():
    body = (
        "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN SET NEW.b = 1; SET NEW.c = 2; END"
    )
    first, second = pieces(f"DROP TRIGGER IF EXISTS t;\n{body};\n")
    assert (second.statement.text, second.statement.line) == (body, 2)
    assert [str(each) for each in second.makes] == ["trigger a (t)"]
    assert [str(each) for each in first.takes] == ["trigger  (t)"]


@pytest.mark.parametrize(
    ("text", "commits"),
    [
        pytest.param("INSERT INTO a VALUES (1)", Commits.ROWS, id="rows"),
        pytest.param("SELECT 1 FROM a", Commits.ROWS, id="a question"),
        pytest.param("ALTER TABLE a ADD b int", Commits.ITSELF, id="DDL"),
        pytest.param("TRUNCATE a", Commits.ITSELF, id="TRUNCATE"),
        pytest.param("CALL p()", Commits.ITSELF, id="a procedure may hide anything"),
        pytest.param("SET PASSWORD = PASSWORD('x')", Commits.ITSELF, id="a password commits"),
        pytest.param("SET @a := 1, foreign_key_checks = 0", Commits.SESSION, id="the session's"),
        pytest.param("CREATE TEMPORARY TABLE t (a int)", Commits.SESSION, id="a temporary table"),
        pytest.param(
            "SET STATEMENT max_statement_time=1 FOR DROP TABLE a", Commits.ITSELF, id="behind FOR"
        ),
    ],
)
def test_when_a_statement_commits(text: str, commits: Commits):
    (only,) = pieces(text)
    assert only.commits is commits


@pytest.mark.parametrize(
    ("text", "makes", "takes"),
    [
        pytest.param(
            "ALTER TABLE a ADD COLUMN b int, ADD INDEX i (b), DROP COLUMN c",
            ["column a (b)", "index a (i)"],
            ["column a (c)"],
            id="clauses",
        ),
        pytest.param(
            "ALTER TABLE a CHANGE b c int", ["column a (c)"], ["column a (b)"], id="CHANGE"
        ),
        pytest.param(
            "RENAME TABLE a TO b, s.c TO s.d",
            ["table b", "table s.d"],
            ["table a", "table s.c"],
            id="RENAME TABLE",
        ),
        pytest.param(
            "CREATE UNIQUE INDEX i ON a (b(10)) ALGORITHM=INPLACE", ["index a (i)"], [], id="INDEX"
        ),
        pytest.param(
            "CREATE TABLE IF NOT EXISTS j (d JSON CHECK (json_valid(d))) WITH SYSTEM VERSIONING",
            ["table j"],
            [],
            id="what sqlglot does not know",
        ),
        pytest.param("DROP TABLE IF EXISTS a, b", [], ["table a", "table b"], id="DROP"),
    ],
)
def test_what_a_statement_names(text: str, makes: list[str], takes: list[str]):
    (only,) = pieces(text)
    assert ([str(each) for each in only.makes], [str(each) for each in only.takes]) == (
        makes,
        takes,
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("START TRANSACTION", "TransactionControl"),
        ("SELECT 1; COMMIT", "TransactionControl"),
        ("XA START 'a'", "TransactionControl"),
        ("LOCK TABLES a WRITE", "TableLocks"),
        ("SELECT get_lock('a', 1)", "LockFunction"),
        ("SELECT `RELEASE_LOCK`('a')", "LockFunction"),
        ("USE other", "UseDatabase"),
        ("DELIMITER //", "Delimiter"),
        ("DROP DATABASE shop", "DropsDatabase"),
        ("DROP TABLE whimbrel_run", "LedgerNamed"),
        ("INSERT INTO `Whimbrel_meta` VALUES (1)", "LedgerNamed"),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE a", "LocalFile"),
        ("SET autocommit = 0", "SettingNotAllowed"),
        ("SET a = 1, NAMES latin1", "SettingNotAllowed"),
        ("SELECT 1; /*!50003 COMMIT */", "HiddenStatement"),
        ("/*M! DROP TABLE a */", "HiddenStatement"),
        ("SELEC 1", "SyntaxError"),
        ("SELECT 'open", "SyntaxError"),
        ("-- whimbrel: sometimes\nSELECT 1", "BadDirective"),
    ],
)
def test_what_no_file_may_say(text: str, reason: str):
    with pytest.raises(RefusedError) as refused:
        read_sql("f.sql", text, "whimbrel")
    assert (refused.value.reason, "f.sql" in refused.value.message) == (reason, True)


def test_a_value_may_say_anything():
    (only,) = pieces("INSERT INTO a VALUES ('whimbrel_run; COMMIT; GET_LOCK(1)', \"USE x\")")
    assert (only.tables, only.writes) == (("a",), True)


def test_settings_are_known_for_putting_them_back():
    (only,) = pieces(
        "SET foreign_key_checks=0, @b=2, @@session.sql_mode='', SESSION c=(SELECT 1, 2)"
    )
    assert only.sets == ("foreign_key_checks", "sql_mode", "c")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str):
    with suppress(RefusedError):
        joined = "".join(each.statement.text for each in pieces(text))
        assert len(joined) <= len(text)
