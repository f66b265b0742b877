"""What PostgreSQL says of a value, and what is shown of it: one table for all who show it."""

import pytest

MARKER = "4711"
SAID = [
    ("22P02", 'invalid input syntax for type integer: "ann 4711"',
     "invalid input syntax for type integer: …"),
    ("22P02", 'invalid input syntax for type integer: "a"\n4711" is out of range"',
     "invalid input syntax for type integer: …"),
    ("22P02", 'invalid input syntax for type integer: "',
     "invalid input syntax for type integer: …"),
    ("22P02", 'invalid input value for enum mood: "4711"', "invalid input value for enum mood: …"),
    ("22P02", '"4" is not a valid binary digit', "… is not a valid binary digit"),
    ("22P02", 'malformed array literal: "{4711"', "malformed array literal: …"),
    ("22P02", "ungültige Eingabesyntax für Typ integer: »4711«",
     "ungültige Eingabesyntax für Typ integer: …"),
    ("22003", "Wert »4711« ist außerhalb des gültigen Bereichs für Typ integer", "Wert …"),
    ("22003", 'value "4711" is out of range for type integer',
     "value … is out of range for type integer"),
    ("22003", "integer out of range", "integer out of range"),
    ("22007", 'invalid value "4711" for "MM"', "invalid value …"),
    ("22008", 'date/time field value out of range: "4711-99-99"',
     "date/time field value out of range: …"),
    ("22008", 'value for "4711" in source string is out of range',
     "value for … in source string is out of range"),
    ("22008", "date out of range: 4711-99-99", "date out of range: …"),
    ("22023", 'time zone "4711" not recognized', "time zone … not recognized"),
    ("22023", 'invalid value for parameter "TimeZone": "4711"',
     'invalid value for parameter "TimeZone": …'),
    ("22021", 'invalid byte sequence for encoding "UTF8": 0x47 0x11',
     'invalid byte sequence for encoding "UTF8": …'),
    ("22030", "duplicate JSON object key value: 4711", "duplicate JSON object key value: …"),
    ("22P04", 'missing data for column "email"', 'missing data for column "email"'),
    ("22001", "value too long for type character varying(3)",
     "value too long for type character varying(3)"),
    ("22012", "division by zero", "division by zero"),
    ("2200H", 'nextval: reached maximum value of sequence "ids" (5)',
     'nextval: reached maximum value of sequence "ids" (5)'),
    ("2201B", "invalid regular expression: quantifier operand invalid",
     "invalid regular expression: quantifier operand invalid"),
    ("42601", 'syntax error in tsquery: "4711 4711"', "syntax error in tsquery: …"),
    ("42601", "syntax error at or near \"'4711'\"", "syntax error at or near …"),
    ("42601", 'syntax error at or near "TABEL"', 'syntax error at or near "TABEL"'),
    ("42601", 'syntax error at or near "$1"', 'syntax error at or near "$1"'),
    ("54000", 'word is too long in tsquery: "4711"', "word is too long in tsquery: …"),
    ("42P01", 'relation "missing" does not exist', 'relation "missing" does not exist'),
    ("P0001", 'no name: "of the author\'s own"', 'no name: "of the author\'s own"'),
]  # fmt: skip

of_each = pytest.mark.parametrize(
    ("sqlstate", "text", "shown"), [pytest.param(*each, id=f"{each[0]} {each[2]}") for each in SAID]
)
