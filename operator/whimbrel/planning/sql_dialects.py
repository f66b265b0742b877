"""How tool `sql` reads and runs files, by the kind of server."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from whimbrel.model.spec import Atomicity, Spec
from whimbrel.model.steps import Direction, Step
from whimbrel.planning import sql_steps, statements, syntax
from whimbrel.planning.dialects import mariadb_sql
from whimbrel.planning.sql_steps import Group
from whimbrel.planning.statements import SqlText
from whimbrel.planning.syntax import Parsed


@dataclass(frozen=True)
class SqlDialect:
    """One kind of server.

    Attributes:
        variants: What a file that is meant for it may carry in its name, the best first.
        parse: Cuts a file into statements.
        read: The same, and refuses what cannot be carried out safely.
        step: Arranges the files of a transaction.
        atomicity: What can be had of what is asked.
        notes: What every plan with steps says.
    """

    variants: tuple[str, ...]
    parse: Callable[[str, str], tuple[Parsed, ...]]
    read: Callable[[str, str, str], SqlText]
    step: Callable[[Spec, Direction, Group], Step]
    atomicity: Callable[[Atomicity], Atomicity]
    notes: tuple[str, ...] = ()


SQL_DIALECTS: Final[dict[str, SqlDialect]] = {
    "postgresql": SqlDialect(
        ("postgresql",),
        syntax.parse_sql,
        statements.read_sql,
        sql_steps.step,
        lambda asked: asked,
    ),
    "mariadb": SqlDialect(
        ("mariadb", "mysql"),
        mariadb_sql.parse_sql,
        mariadb_sql.read_sql,
        mariadb_sql.step,
        mariadb_sql.atomicity,
        (
            "MariaDB commits each DDL statement by itself, so the files run statement by "
            "statement: when one fails, what was done of its file is taken back by its down file",
        ),
    ),
}
