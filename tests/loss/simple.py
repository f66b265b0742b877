"""Two engines to prove the checker with: one that cannot lose anything, and one from the guides."""

import psycopg

from tests.loss.judge import Recorded
from tests.loss.migrations import Migration
from tests.loss.shop import Shop, quoted


class Locking:
    """Runs the migration in one transaction and rolls it back: right, and it makes others wait."""

    def __init__(self) -> None:
        self._session: psycopg.Connection | None = None

    def open(self, shop: Shop) -> None:
        """Begin."""
        self._session = shop.connect(shop.logins.migration)
        self._session.execute("SET lock_timeout = '2s'")

    def migrate(self, shop: Shop, migration: Migration) -> None:
        """Run the migration, not committed."""
        assert self._session is not None
        self._session.execute("BEGIN")
        migration.run_in(self._session, shop)

    def restore(self, shop: Shop) -> list[Recorded]:
        """Roll back."""
        assert self._session is not None
        self._session.execute("ROLLBACK")
        self._session.close()
        return []

    def discard(self, shop: Shop) -> None:
        """Nothing is left."""


class Naive:
    """Copies each table, and renames the copies: what most guides show."""

    def open(self, shop: Shop) -> None:
        """Copy."""
        with shop.connect(shop.logins.owner) as session:
            session.execute("CREATE SCHEMA whimbrel")
            for table in shop.covered:
                copy = f"CREATE TABLE whimbrel.{quoted(table.name)} AS SELECT * FROM "
                session.execute((copy + table.qualified).encode())

    def migrate(self, shop: Shop, migration: Migration) -> None:
        """Run the migration."""
        migration.run(shop)

    def restore(self, shop: Shop) -> list[Recorded]:
        """Drop and rename."""
        with shop.connect(shop.logins.owner) as session:
            for table in shop.covered:
                schema, name = quoted(table.schema), quoted(table.name)
                session.execute(f"DROP TABLE IF EXISTS {table.qualified} CASCADE".encode())
                session.execute(f"ALTER TABLE whimbrel.{name} SET SCHEMA {schema}".encode())
            roles = f"{quoted(shop.logins.application)}, {quoted(shop.logins.clerk)}"
            for table in shop.covered:
                session.execute(f"GRANT ALL ON {table.qualified} TO {roles}".encode())
        return []

    def discard(self, shop: Shop) -> None:
        """The copies have become the tables."""
