"""How tool `sql` reads and runs files for PostgreSQL."""

from typing import Final

from whimbrel.planning import sql_steps, statements, syntax
from whimbrel.planning.sql_dialects import SqlDialect

SQL: Final = SqlDialect(
    variants=("postgresql",),
    parse=syntax.parse_sql,
    read=statements.read_sql,
    step=sql_steps.step,
    atomicity=lambda asked: asked,
)
