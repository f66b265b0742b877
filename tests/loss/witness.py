"""An independent witness of the catalogue: what pg_dump says, and what it does not say."""

import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from typing import Final

from tests.loss.shop import Shop
from tests.postgres import CLIENTS

# Of the ledger's schema nothing belongs to the application; the roles are there for all databases.
_OURS: Final = "whimbrel"
# What pg_dump leaves out or what it cannot tell: validity, and order of what fires by name.
_MORE: Final = """
SELECT 'index', indexrelid::regclass::text, indisvalid::text || indisready::text
  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema', 'whimbrel')
UNION ALL
SELECT 'constraint', conname || ' of ' || conrelid::regclass::text,
       convalidated::text || confrelid::regclass::text
  FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'whimbrel')
UNION ALL
SELECT 'rows', c.oid::regclass::text, c.relispopulated::text || c.relpersistence::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema', 'whimbrel')
   AND c.relkind IN ('r', 'm', 'v', 'S')
UNION ALL
SELECT 'depends on ours', pg_describe_object(classid, objid, objsubid),
       pg_describe_object(refclassid, refobjid, refobjsubid)
  FROM pg_depend d JOIN pg_class r ON r.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
  JOIN pg_namespace n ON n.oid = r.relnamespace
 WHERE n.nspname = 'whimbrel' AND d.classid = 'pg_rewrite'::regclass
   AND NOT EXISTS (SELECT FROM pg_rewrite w JOIN pg_class v ON v.oid = w.ev_class
                    WHERE w.oid = d.objid AND v.relnamespace = n.oid)
"""


@dataclass(frozen=True)
class Catalogue:
    """What the catalogue says outside of the ledger's schema.

    Attributes:
        statements: What pg_dump writes, one object a line, in no order.
        more: What pg_dump does not say.
    """

    statements: Counter[str]
    more: Counter[str]


def read_catalogue(shop: Shop) -> Catalogue:
    """Ask pg_dump of the server's own version, and the catalogue itself."""
    statements = Counter(_statements(dump(shop)))
    with shop.superuser() as session:
        more = Counter(" | ".join(map(str, row)) for row in session.execute(_MORE).fetchall())
    return Catalogue(statements, more)


def dump(shop: Shop) -> str:
    """Return pg_dump's text of the schema."""
    program = CLIENTS[shop.admin.version] / "pg_dump"
    words = ["--schema-only", f"--exclude-schema={_OURS}", "--no-security-labels"]
    place = ["-h", "127.0.0.1", "-p", str(shop.admin.port), "-U", "postgres"]
    done = subprocess.run(
        [str(program), *words, *place, shop.database.dbname],
        env=os.environ | {"PGPASSWORD": "postgres"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _statements(text: str) -> list[str]:
    """Split a dump; the order of its statements hangs on numbers that nobody sees."""
    plain = re.sub(r"^(--.*|\\(un)?restrict .*)\n", "", text, flags=re.MULTILINE)
    return [each.strip() for each in plain.split(";\n") if each.strip()]


def differences(before: Catalogue, after: Catalogue) -> list[str]:
    """Say what is missing and what is new."""
    found = []
    for then, now in ((before.statements, after.statements), (before.more, after.more)):
        found += [f"missing: {each}" for each in (then - now).elements()]
        found += [f"new: {each}" for each in (now - then).elements()]
    return found
