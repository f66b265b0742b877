"""A key that is a date, and what else is one, is told from any session, however it writes dates."""

import pytest

from tests.db.checkpoint_desk import station

TABLE = """
CREATE TABLE days (day date, at timestamptz, plain timestamp, word text, seen date,
  since timestamptz, PRIMARY KEY (day, at, plain));
INSERT INTO days SELECT date '2026-05-03' + i,
  timestamptz '2026-05-03 10:00:00.123456+02' + i * interval '1 day',
  timestamp '2026-05-03 01:02:03' + i * interval '1 hour', 'w' || i, '2026-01-02',
  '2026-03-04 05:06:07+00' FROM generate_series(1, 9) i;
"""
WRITES = """
UPDATE days SET word = 'right' WHERE day = make_date(2026, 5, 4);
UPDATE days SET seen = make_date(2026, 7, 8),
  since = make_timestamptz(2026, 7, 8, 9, 10, 11.5, 'UTC') WHERE day = make_date(2026, 5, 5);
UPDATE days SET day = make_date(2027, 11, 12), plain = plain + interval '1 year',
  at = at + interval '1 month' WHERE day = make_date(2026, 5, 6);
DELETE FROM days WHERE day = make_date(2026, 5, 7);
"""
STYLES = ["SQL, DMY", "German", "Postgres, MDY", "ISO, YMD"]


@pytest.mark.parametrize("style", STYLES)
def test_keys_that_are_dates(any_database, style):
    with station(any_database) as place:
        place.database.run(TABLE)
        place.open(("public", "days"))
        with place.database.connect() as app:
            app.execute(f"SET datestyle = '{style}'; SET timezone = 'America/New_York'")
            app.execute(WRITES)
        expected = place.database.run("SELECT * FROM days ORDER BY day")
        place.migrate("UPDATE days SET word = 'wrong', since = NULL")
        place.restore()
        assert place.database.run("SELECT * FROM days ORDER BY day") == expected
        assert place.conflicts() == []
