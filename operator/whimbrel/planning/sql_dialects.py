"""How tool `sql` reads and runs files, by the kind of server."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from whimbrel.model.spec import Atomicity, Spec
from whimbrel.model.steps import Direction, Step
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


_MODULES: Final = {
    "postgresql": "whimbrel.planning.dialects.postgresql_sql",
    "mariadb": "whimbrel.planning.dialects.mariadb_sql",
}


@cache
def sql_dialect(server: str) -> SqlDialect:
    """Return how files for a kind of server are read.

    Imported when it is asked for: MariaDB's parser is a fifth of what a runner needs to start.
    """
    found: SqlDialect = importlib.import_module(_MODULES[server]).SQL
    return found
