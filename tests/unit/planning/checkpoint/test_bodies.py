"""What the body of a function writes, as far as its words tell."""

import pytest

from whimbrel.planning.checkpoint.bodies import Body, read_body

WRITES = {
    "insert into t (a) values (1)": {("", "t")},
    "INSERT INTO App.T select 1": {("app", "t")},
    'update "App"."my ""T""" set a = 1': {("App", 'my "T"')},
    "update only t set a = 1; delete from only s.u": {("", "t"), ("s", "u")},
    "merge into t using u on true when matched then update set a = 1": {("", "t")},
    "insert into t values (1) on conflict (a) do update set a = 2": {("", "t")},
    "if true then update t set a = 1; end if": {("", "t")},
    "truncate table only t": {("", "t")},
    "with x as (delete from t returning *) insert into u select * from x": {("", "t"), ("", "u")},
    "select * from t for update of t": set(),
    "select * from t for no key update": set(),
    "select 'delete from t' -- update t set a = 1\n/* insert into t */": set(),
    "select $q$ delete from t $q$": set(),
    "alter table t add foreign key (a) references u on update cascade": set(),
    "update": set(),
    "insert into": set(),
    "é := 1; delete from t": {("", "t")},
}


@pytest.mark.parametrize("text", WRITES)
def test_the_tables_that_are_written(text):
    assert read_body("plpgsql", text).writes == WRITES[text]


def test_functions_that_are_called():
    body = read_body("plpgsql", 'perform app.helper(1); x := "Other"(2) + coalesce(y, 3);')
    assert {"helper", "Other", "coalesce"} <= body.calls


@pytest.mark.parametrize(
    ("language", "text", "is_open"),
    [
        ("plpgsql", "execute format('delete from %I', x)", True),
        ("sql", "select execute from t", False),
        ("plpgsql", "raise notice 'execute'", False),
        ("plpython3u", "plpy.execute('delete from t')", True),
        ("c", "some_symbol", True),
        ("plpgsql", "select 'never ended", True),
        ("sql", "truncate t cascade", True),
        ("plpgsql", "truncate t restrict", False),
    ],
)
def test_what_cannot_be_told(language, text, is_open):
    assert read_body(language, text).is_open == is_open


def test_nothing_is_nothing():
    assert read_body("sql", "") == Body()
