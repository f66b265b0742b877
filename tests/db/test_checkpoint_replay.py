"""What the application wrote since a checkpoint is there after a restore, the migration's not."""

import pytest

from tests.db.checkpoint_desk import station
from whimbrel.model.errors import HeldError, TransientError
from whimbrel.runner.checkpoint.manifest import Mapping

pytestmark = pytest.mark.sampled("a write since a checkpoint")

TABLE = """
CREATE TABLE people (id int, part text, name text, age int DEFAULT 18, mail text UNIQUE,
  doc json, docb jsonb, size numeric GENERATED ALWAYS AS (age * 2) STORED,
  number bigint GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (id, part));
INSERT INTO people (id, part, name, mail, doc)
  SELECT i, 'a', 'n' || i, 'm' || i, '{"a": 1}' FROM generate_series(1, 20) i;
"""
WRONG = "UPDATE people SET name = 'wrong', age = age + 100"


@pytest.fixture
def place(any_database):
    with station(any_database) as opened:
        opened.database.run(TABLE)
        yield opened


def begin(place, migration=WRONG, **options):
    place.open(("public", "people"), **options)
    place.migrate(migration)


def rows(place, what="name, age, mail", where="id = 1"):
    order = "" if "count(" in what else "ORDER BY id, part"
    return place.database.run(f"SELECT {what} FROM people WHERE {where} {order}")


@pytest.mark.sampled("the main path")
def test_only_what_the_application_changed_comes_back(place):
    place.open(("public", "people"))
    run = place.database.run
    run("UPDATE people SET name = 'early' WHERE id = 1")
    place.migrate(WRONG)
    run("UPDATE people SET mail = 'late' WHERE id = 1")
    run("UPDATE people SET name = 'right' WHERE id = 2")
    run("UPDATE people SET name = 'right again' WHERE id = 2")
    place.restore()
    assert rows(place) == [("early", 18, "late")]
    assert rows(place, where="id = 2") == [("right again", 18, "m2")]
    assert rows(place, where="id = 3") == [("n3", 18, "m3")]
    assert rows(place, "size", "id = 1") == [(36,)]
    assert place.conflicts() == []


def test_rows_come_and_go(place):
    begin(place, WRONG + "; DELETE FROM people WHERE id > 18")
    run = place.database.run
    run("INSERT INTO people (id, part, name) VALUES (30, 'x', 'new'), (31, 'x', 'gone')")
    run("UPDATE people SET age = 5 WHERE id = 30")
    run("DELETE FROM people WHERE id IN (31, 4)")
    run("DELETE FROM people WHERE id = 5")
    run("INSERT INTO people (id, part, name) VALUES (5, 'a', 'back'), (19, 'a', 'mine')")
    place.restore()
    assert rows(place, "id, name, age", "id > 18 OR id IN (4, 5)") == [
        (5, "back", 18),
        (19, "mine", 18),
        (20, "n20", 18),
        (30, "new", 5),
    ]
    assert place.database.run("SELECT count(*), count(DISTINCT number) FROM people") == [(20, 20)]
    number = place.database.run("INSERT INTO people (id, part) VALUES (99, '') RETURNING number")
    assert number[0][0] > max(number for (number,) in rows(place, "number", "id <> 99"))


def test_keys_change_and_values_that_are_unique_change_places(place):
    begin(place)
    run = place.database.run
    run("UPDATE people SET id = 100, part = 'moved' WHERE id = 1")
    run("UPDATE people SET name = 'after' WHERE id = 100")
    run("UPDATE people SET id = 101 WHERE id = 100")
    for old, new in ((2, 200), (3, 2), (200, 3)):
        run(f"UPDATE people SET id = {new} WHERE id = {old}")
    for mail, who in (("tmp", "n7"), ("m7", "n8"), ("m8", "tmp")):
        run(f"UPDATE people SET mail = '{mail}' WHERE mail = '{who.replace('n', 'm')}'")
    place.restore()
    assert rows(place, "id, part, name, age, mail", "id > 100") == [
        (101, "moved", "after", 18, "m1")
    ]
    assert rows(place, "id, name", "id IN (2, 3)") == [(2, "n3"), (3, "n2")]
    assert rows(place, "id, mail", "id IN (7, 8)") == [(7, "m8"), (8, "m7")]


def test_documents_come_back_to_the_last_byte(place):
    begin(place, "UPDATE people SET doc = '{}', docb = '{}'")
    texts = ['{ "b" :1,\n "a": 1.0, "a": 1e2 }', '"\\u00e9 \\/ x"', "[ ]", "12.50", '"null"']
    for number, text in enumerate(texts, 1):
        place.database.run(
            "UPDATE people SET doc = %s, docb = %s WHERE id = %s", *[text] * 2, number
        )
    place.database.run("UPDATE people SET doc = ' null ', docb = 'null' WHERE id = 6")
    place.database.run("UPDATE people SET doc = NULL, docb = NULL WHERE id = 7")
    place.restore()
    assert [text for (text,) in rows(place, "doc::text", "id < 6")] == texts
    assert rows(place, "count(docb), count(*) FILTER (WHERE docb = doc::jsonb)", "id < 6") == [
        (5, 5)
    ]
    assert rows(place, "doc::text, docb::text", "id IN (6, 7)") == [
        (" null ", "null"),
        (None, None),
    ]


def test_null_in_a_document_is_told_from_none_when_its_row_moves(place):
    begin(place, "UPDATE people SET doc = '{}', docb = '{}'")
    run = place.database.run
    for number in (1, 2, 3):
        run("UPDATE people SET doc = 'null', docb = 'null' WHERE id = %s", number)
    run("UPDATE people SET doc = NULL, docb = NULL WHERE id = 4")
    for old, new in ((1, 101), (101, 102), (2, 103), (4, 104)):
        run(f"UPDATE people SET id = {new} WHERE id = {old}")
    run("INSERT INTO people (id, part) VALUES (1, 'a'), (2, 'a')")
    place.restore()
    assert rows(place, "id, doc::text, docb::text", "id IN (1, 3) OR id > 100") == [
        (1, None, None),
        (3, "null", "null"),
        (102, "null", "null"),
        (103, "null", "null"),
        (104, None, None),
    ]


def test_renamed_column_is_mapped_back(place):
    mappings = (Mapping("public.people", "name", "full_name"),)
    place.open(("public", "people"), mappings=mappings)
    place.migrate("ALTER TABLE people ADD full_name text; UPDATE people SET full_name = name")
    run = place.database.run
    run("UPDATE people SET name = 'old way' WHERE id = 1")
    run("UPDATE people SET name = 'first', full_name = 'first' WHERE id = 3")
    place.migrate("ALTER TABLE people DROP name")
    run("UPDATE people SET full_name = 'new way' WHERE id IN (2, 3)")
    run("INSERT INTO people (id, part, full_name) VALUES (50, '', 'new')")
    place.restore()
    assert rows(place, "name", "id IN (1, 2, 3, 50)") == [
        ("old way",),
        ("new way",),
        ("new way",),
        ("new",),
    ]
    assert place.conflicts() == []


def test_what_has_no_place_is_recorded(place):
    begin(place, "ALTER TABLE people DROP size, ADD score int DEFAULT 7, ALTER age TYPE text")
    place.migrate("INSERT INTO people (id, part) VALUES (70, ''), (71, '')")
    run = place.database.run
    run("UPDATE people SET score = 8, name = 'kept' WHERE id = 1")
    run("UPDATE people SET age = 'old' WHERE id IN (2, 3)")
    run("UPDATE people SET name = 'mine' WHERE id = 70")
    run("DELETE FROM people WHERE id = 71")
    run("INSERT INTO people (id, part, score) VALUES (72, '', 9), (73, '', NULL)")
    done = place.restore()
    assert rows(place, "id, name, age", "id < 4 OR id > 20") == [
        (1, "kept", 18),
        (2, "n2", 18),
        (3, "n3", 18),
        (72, None, 18),
        (73, None, 18),
    ]
    found = sorted((kind, key["id"], column) for kind, key, column, _ in place.conflicts())
    assert found == [
        ("DoesNotFit", 2, "age"),
        ("DoesNotFit", 3, "age"),
        ("MigrationRow", 70, ""),
        ("MigrationRowDeleted", 71, ""),
        ("UnknownColumn", 1, "score"),
        ("UnknownColumn", 72, "score"),
    ]
    assert done.conflicts == 6
    kept = place.database.run(f"SELECT age FROM whimbrel.{done.kept[0]} WHERE id = 2")
    assert kept == [("old",)]


def test_nothing_is_silent_about_rows_whose_keys_the_migration_has_changed(place):
    gone = "DELETE FROM people WHERE id IN (7, 8, 9)"
    begin(place, f"UPDATE people SET id = id + 100 WHERE id < 4; {gone}")
    run = place.database.run
    run("DELETE FROM people WHERE id = 101")
    run("UPDATE people SET name = 'mine' WHERE id = 102")
    run("INSERT INTO people (id, part, name) VALUES (1, 'a', 'anew'), (7, 'a', 'anew')")
    run("UPDATE people SET id = 71 WHERE id = 7")
    run("INSERT INTO people (id, part, name) VALUES (8, 'a', 'anew')")
    run("DELETE FROM people WHERE id = 8")
    run("UPDATE people SET id = 9 WHERE id = 10")
    place.restore()
    assert rows(place, "id, name", "id IN (1, 2, 3, 7, 8, 9, 10, 71) OR id > 100") == [
        (1, "anew"),
        (2, "n2"),
        (3, "n3"),
        (8, "n8"),
        (9, "n10"),
        (71, "anew"),
    ]
    assert sorted((kind, key["id"], row["name"]) for kind, key, _, row in place.conflicts()) == [
        ("MigrationRow", 102, "mine"),
        ("MigrationRowDeleted", 101, "n1"),
        ("ReplacedRow", 1, "n1"),
        ("ReplacedRow", 7, "n7"),
        ("ReplacedRow", 9, "n9"),
    ]


def test_row_that_fits_neither_as_it_is_nor_as_it_was_is_named(place):
    place.database.run("ALTER TABLE people ADD CHECK (mail <> 'odd')")
    begin(place, "ALTER TABLE people DROP CONSTRAINT people_mail_check")
    run = place.database.run
    run("UPDATE people SET mail = 'odd' WHERE id = 2")
    run("UPDATE people SET mail = 'm2' WHERE id = 1")
    told = r'row {"id" : 2, "part" : "a"} of public.people fits neither .* \(duplicate key'
    with pytest.raises(HeldError, match=told) as held:
        place.restore()
    assert held.value.reason == "RestoreBlocked"
    run("UPDATE people SET mail = 'even' WHERE id = 2")
    place.restore()
    assert rows(place, "id, mail", "id < 3") == [(1, "m2"), (2, "even")]


def cut_off(_session):
    raise TransientError("Stopped", "the rounds before the exchange are done")


def test_conflicts_stand_under_the_key_that_a_row_has_now(place):
    """Also of an earlier round, and of a row of the migration's, which is in the kept table."""
    place.database.run("ALTER TABLE people ADD CHECK (id < 90)")
    more = "DROP CONSTRAINT people_id_check, ADD score int"
    made = "INSERT INTO people (id, part) VALUES (70, '')"
    begin(place, f"ALTER TABLE people {more}; {made}")
    run = place.database.run
    run("UPDATE people SET score = 8 WHERE id IN (1, 2, 3)")
    run("UPDATE people SET name = 'mine' WHERE id = 70")
    with pytest.raises(TransientError):
        place.restore(cut_off)
    run("UPDATE people SET id = 51 WHERE id = 1")
    run("UPDATE people SET id = 61, score = 9 WHERE id = 51")
    run("UPDATE people SET id = 95 WHERE id = 3")
    run("UPDATE people SET id = 71 WHERE id = 70")
    run("UPDATE people SET id = 1, part = 'b' WHERE id = 2")
    place.restore()
    found = {(kind, key["id"], key["part"], column) for kind, key, column, _ in place.conflicts()}
    assert found == {
        ("UnknownColumn", 61, "a", "score"),
        ("UnknownColumn", 1, "b", "score"),
        ("UnknownColumn", 3, "a", "score"),
        ("DoesNotFit", 3, "a", "id"),
        ("MigrationRow", 71, "", ""),
    }
    assert rows(place, "id", "id IN (1, 2, 3, 51, 61, 95)") == [(1,), (3,), (61,)]


def test_column_that_does_not_fit_keeps_no_other_back(place):
    place.database.run("ALTER TABLE people ADD CHECK (age < 100), ADD CHECK (name <> 'no')")
    checks = "DROP CONSTRAINT people_age_check, DROP CONSTRAINT people_name_check"
    begin(place, f"ALTER TABLE people DROP size, {checks}, ALTER age TYPE text")
    run = place.database.run
    run("UPDATE people SET age = 'old', name = 'right', mail = 'mine' WHERE id = 1")
    run("UPDATE people SET age = 'old', name = 'no', mail = 'his' WHERE id = 2")
    run("INSERT INTO people (id, part, name, age) VALUES (50, '', 'new', 'young')")
    place.restore()
    assert rows(place, "id, name, age, mail", "id IN (1, 2, 50)") == [
        (1, "right", 18, "mine"),
        (2, "n2", 18, "his"),
        (50, "new", None, None),
    ]
    found = sorted((key["id"], column, value) for _, key, column, value in place.conflicts())
    assert found == [(1, "age", "old"), (2, "age", "old"), (2, "name", "no"), (50, "age", "young")]


def test_nothing_changes_where_conflicts_hold(place):
    begin(place, "ALTER TABLE people ADD score int", on_conflict="Hold")
    place.database.run("UPDATE people SET score = 8, name = 'new' WHERE id = 1")
    for _ in range(2):
        with pytest.raises(HeldError, match="no place") as held:
            place.restore()
    assert held.value.reason == "CheckpointConflicts"
    assert rows(place, "name, score") == [("new", 8)]
    assert place.conflicts() == [("UnknownColumn", {"id": 1, "part": "a"}, "score", 8)]
    place.database.run("UPDATE whimbrel.checkpoint SET on_conflict = 'Record'")
    place.restore()
    assert rows(place, "*")[0][:3] == (1, "a", "new")
    assert len(place.conflicts()) == 1


def test_insert_without_a_column_that_is_gone_gets_its_default(place):
    begin(place, "ALTER TABLE people DROP size, DROP age")
    place.database.run("INSERT INTO people (id, part) VALUES (50, '')")
    place.restore()
    assert rows(place, "age, size", "id = 50") == [(18, 36)]


def test_key_that_cannot_be_read_back_holds(place):
    begin(place, "ALTER TABLE people ALTER id TYPE text USING 'k' || id")
    place.database.run("UPDATE people SET name = 'x' WHERE id = 'k1'")
    with pytest.raises(HeldError, match=r"changed the key \(id, part\) of public.people"):
        place.restore()
    assert rows(place, "name", "id = 'k1'") == [("x",)]


def test_values_of_every_kind(place):
    place.database.run(
        """
CREATE TYPE pair AS (x int, "y z" text); CREATE TYPE mood AS ENUM ('a b', 'c"d');
CREATE DOMAIN few AS int[] CHECK (cardinality(VALUE) < 4);
CREATE TABLE kinds (id uuid PRIMARY KEY, f8 float8, f4 float4, n numeric, big bigint, b bool,
  c char(4), v varchar(5), raw bytea, d date, t time, tz timetz, ts timestamp, tstz timestamptz,
  i interval, m mood, p pair, ps pair[], few few, tags text[], grid int[], r tstzrange, nr numrange,
  bits bit(3), net inet, point point, js json[], mr int4multirange, money money)"""
    )
    columns = "f8, f4, n, big, b, c, v, raw, d, t, tz, ts, tstz, i, m, p, ps, few, tags, grid, r"
    columns += ", nr, bits, net, point, js, mr, money"
    values = [
        """0.1::float8 + 0.2, 1e-30, 1.00, 9223372036854775807, true, 'ab', 'é\t"', '\\x00ff',
        '0044-03-15 BC', '23:59:59.999999', '01:02:03+05:30', '0044-03-15 12:00 BC',
        '2024-02-29 12:34:56.789012+02', '-1 year 3 days -04:05:06.7', 'c"d', '(1,"a,""b")',
        ARRAY['(1,x)', NULL]::pair[], '{1,2}', ARRAY['', NULL, 'NULL', 'a,"b\\'],
        '{{1,2},{3,4}}', '[2024-01-01 00:00+00,)', '(1.50,2]', '101', '10.0.0.1/8',
        '(1.5,2)', ARRAY['{"a" : 1}', 'null', NULL]::json[], '{[1,3),[5,8)}', '12.34'""",
        """'NaN', 'Infinity', 'NaN', -1, false, '', '', '', 'infinity', '24:00', '00:00-12',
        '-infinity', 'infinity', '0', 'a b', '(,)', '{}', '{}', '{}', '{}', 'empty', 'empty', '000',
        '::1', '(0,-0)', '{}', '{}', '-0.01'""",
        ", ".join(["NULL"] * 28),
    ]
    run = place.database.run
    for number in (1, 2, 3):
        run(f"INSERT INTO kinds (id) VALUES ('0000000{number}-0000-0000-0000-000000000000')")
    place.open(("public", "kinds"))
    with place.database.connect() as session:
        session.execute("SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Tokyo'")
        session.execute("SET IntervalStyle = iso_8601; SET bytea_output = escape")
        session.execute("SET extra_float_digits = 0")
        for number, each in enumerate(values, 1):
            where = f"id = '0000000{number}-0000-0000-0000-000000000000'"
            session.execute(f"UPDATE kinds SET ({columns}) = ROW({each}) WHERE {where}")
            session.execute(f"INSERT INTO kinds (id, {columns}) SELECT gen_random_uuid(), {each}")
    wanted = run("SELECT k::text FROM kinds k ORDER BY id")
    place.restore()
    assert run("SELECT k::text FROM kinds k ORDER BY id") == wanted


def test_row_that_the_migration_made_in_place_of_a_deleted_one_is_its_own(place):
    place.open(("public", "people"))
    run = place.database.run
    run("DELETE FROM people WHERE id IN (1, 2)")
    run("INSERT INTO people (id, part) VALUES (40, ''), (41, '')")
    run("DELETE FROM people WHERE id IN (40, 41)")
    place.migrate("INSERT INTO people (id, part) VALUES (1, 'a'), (2, 'a'), (40, ''), (41, '')")
    run("UPDATE people SET name = 'mine' WHERE id IN (1, 40)")
    run("DELETE FROM people WHERE id IN (2, 41)")
    place.restore()
    assert rows(place, "id", "id IN (1, 2, 40, 41)") == []
    found = sorted((kind, key["id"], value["name"]) for kind, key, _, value in place.conflicts())
    assert found == [("MigrationRow", 1, "mine"), ("MigrationRow", 40, "mine")]


def test_transaction_that_is_open_at_each_snapshot_is_replayed_once(place):
    with place.database.connect() as early, place.database.connect() as late:
        place.open(("public", "people"))
        early.execute("BEGIN")
        early.execute("UPDATE people SET age = age + 1 WHERE id = 1")
        place.migrate("UPDATE people SET name = 'wrong' WHERE id > 2")
        late.execute("UPDATE people SET age = age + 1 WHERE id = 2")
        early.execute("UPDATE people SET age = age + 1 WHERE id = 1")
        early.execute("COMMIT")
    place.restore()
    assert rows(place, "age, name", "id IN (1, 2, 3)") == [(20, "n1"), (19, "n2"), (18, "n3")]


def test_large_journal_is_replayed_in_rounds(place):
    begin(place)
    run = place.database.run
    run("INSERT INTO people (id, part, name) SELECT i, 'b', 'x' FROM generate_series(1, 3000) i")
    run("UPDATE people SET name = part || id WHERE part = 'b'")
    run("DELETE FROM people WHERE part = 'b' AND id % 3 = 0")
    place.restore()
    found = rows(place, "count(*), count(*) FILTER (WHERE name = 'b' || id)", "part = 'b'")
    assert found == [(2000, 2000)]
