"""Objects that are refused, and the sentence; for the API server and for `parse_spec` alike."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GONE = object()
SQL = {
    "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
    "migrations": {"tool": "sql", "inline": {"files": {"001_a.up.sql": "select 1"}}},
}
ALEMBIC = {
    "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
    "migrations": {"tool": "alembic", "image": "registry.example/shop:1.8.0"},
}
DJANGO = {
    "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
    "migrations": {
        "tool": "django",
        "image": "registry.example/shop:1.8.0",
        "django": {"settings": "shop.settings.live", "manage": "src/manage.py"},
    },
}
PRISMA = {
    "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
    "migrations": {
        "tool": "prisma",
        "image": "registry.example/shop:1.8.0",
        "prisma": {"path": "db/migrations"},
        "atomicity": "File",
    },
}
SEQUELIZE = {
    "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
    "migrations": {
        "tool": "sequelize",
        "image": "registry.example/shop:1.8.0",
        "sequelize": {
            "environment": "live",
            "config": "config/live.js",
            "migrationsPath": "db/migrations",
            "optionsPath": "db/rc.js",
        },
    },
}
TYPEORM = {
    "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
    "migrations": {
        "tool": "typeorm",
        "image": "registry.example/shop:1.8.0",
        "typeorm": {"dataSource": "build/source.js"},
        "bookkeeping": {"table": "done"},
    },
}
NAME = {"name": "db"}
KEY = {"name": "db", "key": "url"}


@dataclass(frozen=True)
class Refusal:
    """A spec with a mistake.

    Attributes:
        change: Dotted path to the value that makes it wrong, or GONE.
        place: Field that the sentence speaks of.
        sentence: What the API server says of that field.
        here: What `parse_spec` says, where pydantic has words of its own.
    """

    id: str
    change: Mapping[str, Any]
    place: str
    sentence: str
    here: str = ""
    base: Mapping[str, Any] = field(default_factory=lambda: SQL)

    def spec(self) -> dict[str, Any]:
        """Return the wrong spec."""
        return changed(self.base, self.change)


def changed(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of base with the values at dotted paths set, or taken away."""
    copied = copy.deepcopy(dict(base))
    for path, value in change.items():
        *parents, last = path.split(".")
        place = copied
        for name in parents:
            place = place.setdefault(name, {})
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    return copied


NO_NUL = "write at least one character, and no NUL character"
NAME_FORM = (
    "write an object's name: lower-case letters, digits, '-' and '.', "
    "with a letter or digit at both ends"
)
KEY_FORM = "write letters, digits, '-', '_' and '.' only"
DURATION = "write a duration such as 100ms, 30s, 5m or 1h30m"
ONE_SOURCE = "name exactly one source: image, configMapRef or inline"
ONE_DATABASE = "name exactly one of urlFrom and partsFrom"
ONE_REFERENCE = "name exactly one of configMapKeyRef and secretKeyRef"
ONE_VALUE = "name exactly one of value and valueFrom"
SQL_PATH = (
    "tool sql with an image needs sql.path, the directory of the files in it; "
    "without an image there is no path"
)
TOO_MUCH = "inline files may hold 100000 bytes together; use configMapRef or an image for more"
NO_DATABASE_URL = (
    "tools sql and prisma start no program that would get the URL: leave `databaseURL` out"
)
PRISMA_MEMBER = (
    "the member `prisma` belongs to tool: prisma with an image: without one there is no path"
)

REFUSALS = (
    Refusal("two sources", {"migrations.configMapRef": NAME}, "spec.migrations", ONE_SOURCE),
    Refusal("no source", {"migrations.inline": GONE}, "spec.migrations", ONE_SOURCE),
    Refusal(
        "unknown tool",
        {"migrations.tool": "flyway"},
        "spec.migrations.tool",
        'Unsupported value: "flyway": supported values: "sql", "alembic", "django", "sequelize", '
        '"typeorm", "prisma"',
        "Input should be 'sql', 'alembic', 'django', 'sequelize', 'typeorm' or 'prisma'",
    ),
    Refusal("two URLs", {"database.partsFrom.secretRef": NAME}, "spec.database", ONE_DATABASE),
    Refusal("no URL", {"database.urlFrom": GONE}, "spec.database", ONE_DATABASE),
    Refusal("no database", {"database": GONE}, "spec.database", "Required value", "Field required"),
    Refusal(
        "empty identifier",
        {"migrations.history": ""},
        "spec.migrations.history",
        NO_NUL,
        "String should have at least 1 character",
    ),
    Refusal(
        "identifier over 63 characters",
        {"database.ledgerSchema": "x" * 64},
        "spec.database.ledgerSchema",
        "Too long: may not be more than 63 bytes",
        "String should have at most 63 characters",
    ),
    Refusal(
        "identifier with NUL",
        {"database.ledgerSchema": "a\0b"},
        "spec.database.ledgerSchema",
        NO_NUL,
    ),
    Refusal(
        "NUL in the name of a bookkeeping table",
        {"migrations.bookkeeping": {"schema": "public", "table": "\0"}},
        "spec.migrations.bookkeeping.table",
        NO_NUL,
        base=ALEMBIC,
    ),
    Refusal(
        "name of a Secret in capitals",
        {"database.urlFrom.secretKeyRef.name": "DB"},
        "spec.database.urlFrom.secretKeyRef.name",
        NAME_FORM,
    ),
    Refusal(
        "file name with a space",
        {"migrations.inline.files": {"001 a.up.sql": "select 1"}},
        "spec.migrations.inline.files",
        "keys: " + KEY_FORM,
        KEY_FORM,
    ),
    Refusal(
        "a duration without a unit",
        {"limits.lockTimeout": "100"},
        "spec.limits.lockTimeout",
        DURATION,
        "'100' is not a duration such as 100ms, 30s, 5m or 1h30m",
    ),
    Refusal(
        "a limit of zero",
        {"limits.lockTimeout": "0ms"},
        "spec.limits",
        "write limits longer than zero: zero would mean no limit",
    ),
    Refusal(
        "alembic without an image",
        {"migrations.image": GONE, "migrations.configMapRef": NAME},
        "spec.migrations",
        "this tool runs in your own image: name it in `image`",
        base=ALEMBIC,
    ),
    Refusal(
        "member of another tool",
        {"migrations.alembic": {}},
        "spec.migrations",
        "the member `alembic` belongs to tool: alembic",
    ),
    Refusal(
        "django member beside alembic",
        {"migrations.django": {"settings": "shop.settings"}},
        "spec.migrations",
        "the member `django` belongs to tool: django",
        base=ALEMBIC,
    ),
    Refusal(
        "alembic member beside django",
        {"migrations.alembic": {"config": "alembic.ini"}},
        "spec.migrations",
        "the member `alembic` belongs to tool: alembic",
        base=DJANGO,
    ),
    Refusal(
        "django without an image",
        {"migrations.image": GONE, "migrations.configMapRef": NAME},
        "spec.migrations",
        "this tool runs in your own image: name it in `image`",
        base=DJANGO,
    ),
    Refusal(
        "sequelize member beside alembic",
        {"migrations.sequelize": {"environment": "live"}},
        "spec.migrations",
        "the member `sequelize` belongs to tool: sequelize",
        base=ALEMBIC,
    ),
    Refusal(
        "an environment with a space",
        {"migrations.sequelize.environment": "a b"},
        "spec.migrations.sequelize.environment",
        KEY_FORM,
        base=SEQUELIZE,
    ),
    Refusal(
        "settings as a path",
        {"migrations.django.settings": "shop/settings.py"},
        "spec.migrations.django.settings",
        "write the dotted name of a Python module",
        base=DJANGO,
    ),
    Refusal(
        "typeorm member beside django",
        {"migrations.typeorm": {"dataSource": "dist/data-source.js"}},
        "spec.migrations",
        "the member `typeorm` belongs to tool: typeorm",
        base=DJANGO,
    ),
    Refusal(
        "typeorm without an image",
        {"migrations.image": GONE, "migrations.configMapRef": NAME},
        "spec.migrations",
        "this tool runs in your own image: name it in `image`",
        base=TYPEORM,
    ),
    Refusal(
        "sql member beside alembic",
        {"migrations.sql": {"path": "/sql"}},
        "spec.migrations",
        "the member `sql` belongs to tool: sql",
        base=ALEMBIC,
    ),
    Refusal(
        "a path without an image", {"migrations.sql.path": "/sql"}, "spec.migrations", SQL_PATH
    ),
    Refusal(
        "an image without a path",
        {"migrations.inline": GONE, "migrations.image": "shop:1"},
        "spec.migrations",
        SQL_PATH,
    ),
    Refusal(
        "two certificate authorities",
        {"database.tls.caFrom": {"configMapKeyRef": KEY, "secretKeyRef": KEY}},
        "spec.database.tls.caFrom",
        ONE_REFERENCE,
    ),
    Refusal(
        "a variable with two values",
        {
            "migrations.env": [
                {"name": "A", "value": "b", "valueFrom": {"secretKeyRef": KEY}},
            ]
        },
        "spec.migrations.env[0]",
        ONE_VALUE,
        base=ALEMBIC,
    ),
    Refusal(
        "a variable from nowhere",
        {"migrations.env": [{"name": "A", "valueFrom": {}}]},
        "spec.migrations.env[0].valueFrom",
        ONE_REFERENCE,
        base=ALEMBIC,
    ),
    Refusal(
        "too much text",
        {"migrations.inline.files": {f"00{n}_a.up.sql": "x" * 60_000 for n in (1, 2)}},
        "spec.migrations.inline",
        TOO_MUCH,
    ),
    Refusal(
        "too many bytes in few characters",
        {"migrations.inline.files": {"001_a.up.sql": "漢" * 33_334}},
        "spec.migrations.inline",
        TOO_MUCH,
    ),
    Refusal(
        "variables where no program gets them",
        {"migrations.env": [{"name": "A", "value": "b"}]},
        "spec.migrations",
        "tools sql and prisma start no program that would get variables: leave `env` out",
    ),
    Refusal(
        "prisma member beside sql", {"migrations.prisma": {}}, "spec.migrations", PRISMA_MEMBER
    ),
    Refusal(
        "a path of prisma's without an image",
        {"migrations.image": GONE, "migrations.configMapRef": NAME},
        "spec.migrations",
        PRISMA_MEMBER,
        base=PRISMA,
    ),
    Refusal(
        "a directory in an image that is not there",
        {"migrations": {"tool": "prisma", "configMapRef": NAME, "workingDir": "/app"}},
        "spec.migrations",
        "`workingDir` is a directory of your image: without an image leave it out",
        base=PRISMA,
    ),
    Refusal(
        "a directory where no program starts",
        {"migrations.workingDir": "/app"},
        "spec.migrations",
        "tool sql starts no program in a directory: leave `workingDir` out, "
        "sql.path says where the files are",
    ),
    Refusal(
        "the name of a URL's variable where no program gets it",
        {"migrations.databaseURL": {"env": "DB"}},
        "spec.migrations",
        NO_DATABASE_URL,
    ),
    Refusal(
        "the scheme of a URL that no program gets",
        {"migrations.databaseURL.scheme": "postgresql+psycopg"},
        "spec.migrations",
        NO_DATABASE_URL,
    ),
    Refusal(
        "a bookkeeping table beside the ledger",
        {"migrations.bookkeeping.table": "applied"},
        "spec.migrations",
        "tool sql keeps its books in the ledger (database.ledgerSchema): leave `bookkeeping` out",
    ),
    Refusal(
        "a transaction per file of a tool that decides itself",
        {"migrations.atomicity": "File"},
        "spec.migrations",
        "`atomicity` belongs to the tools sql and prisma; every other has transactions of its "
        "own: leave it out",
        base=ALEMBIC,
    ),
    Refusal(
        "consent to data loss without a name",
        {"rollback.allowDataLoss": {"reason": "tested"}},
        "spec.rollback.allowDataLoss.by",
        "Required value",
        "Field required",
    ),
    Refusal(
        "root",
        {"job.runAsUser": 0},
        "spec.job.runAsUser",
        "Invalid value: 0: spec.job.runAsUser in body should be greater than or equal to 1",
        "Input should be greater than or equal to 1",
    ),
)
