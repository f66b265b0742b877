"""Values that are easily changed on their way through a journal, as PostgreSQL writes them."""

import random
from collections.abc import Callable
from dataclasses import dataclass

Draw = Callable[[random.Random, str], str]


@dataclass(frozen=True)
class Column:
    """A column that the application writes.

    Attributes:
        name: Bare name, not quoted.
        type: Type as it stands in CREATE TABLE; `{S}` is the quoted schema.
        draw: Makes a fresh literal; where the type can hold it, the token is in it.
        default: What an insert without the column leaves there, as text; None is NULL.
        words: What follows the type in CREATE TABLE.
    """

    name: str
    type: str
    draw: Draw
    default: str | None = None
    words: str = ""


def text(draw: random.Random, token: str) -> str:
    ends = ("", " ä'\"\\", "\n\ttab", " {,}", " NULL", " \u2028", " %s $1")
    return token + draw.choice(ends)


def amount(draw: random.Random, _: str) -> str:
    return f"{draw.randrange(1, 10**6)}.{draw.randrange(100):02}"


def exact(draw: random.Random, _: str) -> str:
    digits = draw.randrange(10**30)
    return draw.choice(
        (f"{digits % 1000}.5000", f"{digits}.{digits}", f"-{digits % 97}.000", "NaN")
    )


def mail(draw: random.Random, token: str) -> str:
    return f"{token}@{draw.choice('ab')}.example"


def mood(draw: random.Random, _: str) -> str:
    return draw.choice(("sad", "so so", "Glück"))


def json_text(draw: random.Random, token: str) -> str:
    """Duplicate keys, order and blanks are kept by json and not by jsonb."""
    shapes = ('{{"b": "{0}",  "a":1, "a" : 2.50}}', '[ "{0}" , null]', '"{0}"', '{{"t":"{0}"}}')
    return draw.choice(shapes).format(token)


def tags(draw: random.Random, token: str) -> str:
    shapes = ('{{"{0}","a,b",NULL,"NULL"}}', '{{{{"{0}",b}},{{"c d",""}}}}', '{{"{0}"}}', "{{}}")
    return draw.choice(shapes).format(token)


def moment(draw: random.Random, _: str) -> str:
    at = f"20{draw.randrange(10, 90)}-01-{draw.randrange(10, 29)} 01:02:03"
    return draw.choice((f"{at}.{draw.randrange(10**6):06}+00", f"{at}+00", f"{at}.5-07"))


def blob(draw: random.Random, token: str) -> str:
    return "\\x" + (token.encode() + draw.randbytes(3) + b"\0\\").hex()


def _one_of(*shapes: str) -> Draw:
    """Return a draw among literals; `{}` is a number."""
    return lambda draw, _: draw.choice(shapes).format(str(draw.randrange(1, 10**4)))


# Columns of which a schema gets some. In JSON a JSON null by itself is like no value, blanks around
# a document are nothing, and every array begins at 1.
ODD: tuple[Column, ...] = (
    Column("odd float", "float8", _one_of("0.{}1", "{}e-300", "NaN", "-Infinity", "-0")),
    Column("odd real", "real", _one_of("0.{}", "1e-{:.1}", "Infinity")),
    Column("odd interval", "interval", _one_of("1 mon -{} days 03:04:05.678", "-{} years")),
    Column("odd char", "char(9)", _one_of("x{}", "{} ", "")),
    Column("odd inet", "inet", _one_of("10.0.0.1/{:.1}", "::{}")),
    Column("odd range", "tstzrange", _one_of("[2024-01-01 0:00+00,)", "(,203{:.1}-01-01 0:10+02]")),
    Column("odd ranges", "int4multirange", _one_of("{{[1,5),[7,{}0)}}", "{{}}")),
    Column("odd pair", "{S}.pair", _one_of('({},"a ""b"" ,")', "(,)", '({},"")')),
    Column("odd pairs", "{S}.pair[]", _one_of('{{"({},x)","(,\\"y z\\")"}}', "{{}}")),
    Column("odd bits", "bit varying(40)", _one_of("101", "", "0000")),
    Column("odd bool", "boolean", _one_of("t", "f")),
    Column("odd date", "date", _one_of("0044-03-15 BC", "infinity", "20{:.2}-05-06")),
    Column("odd moment", "timestamptz", _one_of("0001-01-01 BC", "-infinity", "19{:.2}-01-01 +1")),
    Column("odd clock", "timetz", _one_of("04:05:06.{:.3}-07:30", "24:00:00+00")),
    Column("odd words", "tsvector", _one_of("'a':{:.2}A 'it''s':2", "")),
    Column("odd point", "point", _one_of("(0.1,{}.3)", "(-0,1e-10)")),
    Column("odd money", "money", _one_of("{}.12", "-{}.99")),
    Column("odd name", "name", _one_of("n{}", "Ä{}")),
    Column("odd byte", '"char"', _one_of("a", "z")),
    Column("odd numbers", "numeric[]", _one_of("{{1.50,NULL,{}}}", "{{{{1}},{{2.0}}}}", "{{NaN}}")),
    Column("odd integers", "int[]", _one_of("{{{},2}}", "{{{{1}},{{{}}}}}", "[0:1]={{{},3}}")),
    Column("odd jsons", "json[]", _one_of('{{"{{\\"a\\" : {}}}",NULL}}', "{{}}")),
    Column("odd nothing", "jsonb", _one_of("[null]", "{}", '"null"', "null")),
    Column("odd void", "json", _one_of('{{"a" :null}}', " null ", "null", " [{}] ")),
    Column("odd path", "lseg", _one_of("[(0,0),(1,{})]")),
    Column("odd id", "uuid", _one_of("00000000-0000-4000-8000-00000000{:0>4}")),
    Column("odd mac", "macaddr", _one_of("08:00:2b:01:02:0{:.1}")),
    Column("odd enum list", "{S}.mood[]", _one_of('{{sad,"so so"}}', "{{Glück}}")),
    Column("odd lsn", "pg_lsn", _one_of("0/{}")),
)  # fmt: skip
