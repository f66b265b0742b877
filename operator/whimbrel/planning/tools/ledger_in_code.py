"""Refuses migrations written in code that name the ledger: what a tool compares would drop it."""

import re
from collections.abc import Callable, Iterable
from typing import Final

from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.spec import Spec
from whimbrel.planning.dialects import mariadb_ledger, postgresql_ledger
from whimbrel.planning.tools.project import Revision

_NAMING: Final[dict[str, Callable[[str], str]]] = {
    "postgresql": postgresql_ledger.naming,
    "mariadb": mariadb_ledger.naming,
}
_QUOTED: Final = r""""(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
# Strings come first: what looks like a comment within one is none.
_PYTHON: Final = re.compile(
    r"(?P<docstring>\A\s*[rR]?(?:'''.*?'''|\"\"\".*?\"\"\"))"
    rf"|'''.*?'''|\"\"\".*?\"\"\"|{_QUOTED}|(?P<comment>\#[^\n]*)",
    re.DOTALL,
)
_OTHERS: Final = re.compile(
    rf"(?P<docstring>/\*.*?\*/)|`(?:\\.|[^`\\])*`|{_QUOTED}|(?P<comment>//[^\n]*)", re.DOTALL
)


def refuse_ledger(spec: Spec, facts: Facts, revisions: Iterable[Revision]) -> None:
    """Refuse a migration whose file names a table of the ledger, outside of comments.

    A name that the file puts together while it runs is not seen.

    Raises:
        RefusedError: ``LedgerNamed``, with file and line.
    """
    schema = spec.database.ledger_schema
    naming = re.compile(_NAMING[facts.dialect](re.escape(schema)), re.IGNORECASE)
    for each in revisions:
        found = naming.search(_without_comments(each))
        if found:
            raise RefusedError(
                "LedgerNamed",
                f"{each.file}, line {found.string.count(chr(10), 0, found.end()) + 1}: "
                f"{' '.join(found[0].split())} is whimbrel's ledger, which no migration may name: "
                "delete what the file does with it",
            )


def _without_comments(revision: Revision) -> str:
    pattern = _PYTHON if revision.file.endswith(".py") else _OTHERS
    return pattern.sub(
        lambda match: "\n" * match[0].count("\n") if match.lastgroup else match[0], revision.text
    )
