"""What a journal tells: values to the last byte, and a journal of earlier code as well."""

import pytest

from tests.checkpoint_shop import admin
from tests.db.checkpoint_desk import station
from whimbrel.planning.dialects.postgresql_manifest import SET_CAPTURE
from whimbrel.runner.checkpoint.capture import read_capture
from whimbrel.runner.sessions import as_json

pytestmark = pytest.mark.sampled("what a journal tells")

TABLE = """
CREATE TYPE pair AS (number int, word text);
CREATE TABLE things (id int PRIMARY KEY, doc json, docb jsonb, list int[], pair pair, word text);
INSERT INTO things SELECT i, '{"a": 1}', '{"a": 1}', '{1,2}', '(1,x)', '' FROM
  generate_series(1, 9) i;
"""
ODD = {
    1: ("null", "null", "[0:1]={5,6}", "(,)", ""),
    2: (None, None, None, None, None),
    3: (" null ", '"null"', "{}", '(3,"a ""b"" ,\\\\")', '(a,"b"'),
    4: ('  {"b" :1,\n "b": "\\"," }', "[null]", "{NULL,7}", '(,"")', "\\"),
    5: ("", None, "{{1},{2}}", "(7,)", ","),
}


@pytest.fixture
def place(any_database):
    with station(any_database) as opened:
        opened.database.run(TABLE)
        yield opened


def write(place, key, values):
    doc = values[0] or None
    place.database.run(
        "UPDATE things SET doc = %s, docb = %s, list = %s, pair = %s, word = %s WHERE id = %s",
        doc, *values[1:], key,
    )  # fmt: skip


def texts(place, where):
    asked = "SELECT id, doc::text, docb::text, list::text, pair::text, word FROM things WHERE "
    return {key: tuple(more) for key, *more in place.database.run(f"{asked}{where} ORDER BY id")}


ASIDE = {
    "deletes all": "DELETE FROM things",
    "empties all": "UPDATE things SET doc = NULL, docb = NULL, list = NULL, pair = NULL",
    "drops the table": "DROP TABLE things",
    "makes a jsonb of the json": "ALTER TABLE things ALTER doc TYPE jsonb",
}


@pytest.mark.parametrize("migration", ASIDE)
def test_every_value_comes_back_though_the_failed_table_cannot_be_asked(place, migration):
    place.open(("public", "things"))
    for key, values in ODD.items():
        write(place, key, values)
    for key in (6, 7):  # there and back: no value, and a JSON null
        write(place, key, ODD[1])
        write(place, key, ODD[2] if key == 6 else ODD[1])
    place.database.run("INSERT INTO things (id, doc, list) VALUES (20, 'null', '[3:3]={1}')")
    place.database.run("UPDATE things SET id = 30 WHERE id = 1")
    before = texts(place, "true")
    assert (before[30], before[6]) == (ODD[1], ODD[2])
    place.migrate(ASIDE[migration])
    place.restore()
    assert texts(place, "true") == before
    assert place.conflicts() == []


def test_a_change_between_null_and_no_value_is_one(place):
    place.database.run("UPDATE things SET doc = 'null', docb = NULL WHERE id < 3")
    place.open(("public", "things"))
    place.migrate("UPDATE things SET word = 'wrong'")
    place.database.run("UPDATE things SET doc = NULL, docb = 'null' WHERE id = 1")
    place.restore()
    assert texts(place, "id < 3") == {
        1: (None, "null", "{1,2}", "(1,x)", ""),
        2: ("null", None, "{1,2}", "(1,x)", ""),
    }


# As it was before `image`, without what limits its size.
EARLIER = """
ALTER TABLE {journal} DROP image, DROP old, DROP new, ADD old json, ADD new json;
CREATE OR REPLACE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO {journal} (number, op, old, new, old_tid, new_tid, late) VALUES
            (TG_ARGV[0]::int4, 'U', row_to_json(OLD), row_to_json(NEW), OLD.ctid, NEW.ctid,
            NEW.xmax <> '0');
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO {journal} (number, op, new, new_tid, late) VALUES
            (TG_ARGV[0]::int4, 'I', row_to_json(NEW), NEW.ctid, NEW.xmax <> '0');
    ELSE
        INSERT INTO {journal} (number, op, old, old_tid, late) VALUES
            (TG_ARGV[0]::int4, 'D', row_to_json(OLD), OLD.ctid, false);
    END IF;
    RETURN NULL;
END $$
"""


def test_a_checkpoint_that_earlier_code_opened_is_restored(place):
    ready = place.open(("public", "things"))
    names = ready.names
    earlier = EARLIER.format(journal=names.journal, function=names.function)
    admin(place.database).run(earlier)
    capture = read_capture(place.desk.session, ready)
    place.desk.ledger.rows(SET_CAPTURE, ready.id, as_json(capture))
    place.migrate("UPDATE things SET word = 'wrong', list = '{}'")
    run = place.database.run
    run("UPDATE things SET doc = '[1]', docb = 'null' WHERE id = 1")
    run("UPDATE things SET id = 30, word = 'right' WHERE id = 2")
    run("UPDATE things SET list = '{3}' WHERE id = 30")
    run("DELETE FROM things WHERE id = 3")
    run("INSERT INTO things (id, word) VALUES (3, 'again'), (31, 'new')")
    run("DELETE FROM things WHERE id = 4")
    place.restore()
    assert texts(place, "id < 5 OR id > 9") == {
        1: ("[1]", "null", "{1,2}", "(1,x)", ""),
        3: (None, None, None, None, "again"),
        30: ('{"a": 1}', '{"a": 1}', "{3}", "(1,x)", "right"),
        31: (None, None, None, None, "new"),
    }
    assert place.conflicts() == []


SETTINGS = {
    "id int, word text, at timestamptz, n numeric(9,2), doc jsonb, list text[]": False,
    "id int, share float8": True,
    "id int, days date[]": True,
    "id int, part daterange": True,
    "id int, kind regclass": True,
    "id int, lasts interval": True,
}


@pytest.mark.parametrize("columns", SETTINGS)
def test_settings_are_set_for_the_types_that_need_them_alone(place, columns):
    """Each costs every write some microseconds."""
    place.database.run(f"CREATE TABLE more ({columns}, PRIMARY KEY (id))")
    place.open(("public", "more"))
    ((found,),) = admin(place.database).run(
        "SELECT proconfig IS NOT NULL FROM pg_proc WHERE proname ~ '^capture_'"
    )
    assert found == SETTINGS[columns]
