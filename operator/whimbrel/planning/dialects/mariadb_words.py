"""What a statement of MariaDB is by its words: when it commits, and what no file may say."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from whimbrel.model.errors import RefusedError
from whimbrel.model.steps import Commits, Statement


class Word(NamedTuple):
    """One word of a statement.

    Attributes:
        word: In capitals; a quoted name stands in backticks, a constant is one quote.
        raw: As its author wrote it, without quotes.
    """

    word: str
    raw: str


Words = Sequence[Word]

# MariaDB manual, "SQL statements That Cause an Implicit Commit"; tried on 10.11. CALL and EXECUTE
# may hide any of these.
_COMMITS_ITSELF: Final = frozenset({
    "ALTER", "ANALYZE", "CACHE", "CALL", "CHANGE", "CHECK", "CREATE", "DROP", "EXECUTE", "FLUSH",
    "GRANT", "INSTALL", "OPTIMIZE", "PURGE", "RENAME", "REPAIR", "RESET", "REVOKE", "TRUNCATE",
    "UNINSTALL",
})  # fmt: skip
_MAY_REPEAT: Final = frozenset({
    "ANALYZE", "CACHE", "CHECK", "FLUSH", "GRANT", "OPTIMIZE", "PURGE", "REPAIR", "RESET", "REVOKE",
})  # fmt: skip
_ROWS: Final = frozenset({
    "(", "CHECKSUM", "DELETE", "DESC", "DESCRIBE", "DO", "EXPLAIN", "INSERT", "LOAD", "REPLACE",
    "SELECT", "SHOW", "TABLE", "UPDATE", "VALUES", "WITH",
})  # fmt: skip
_SESSION: Final = frozenset({"SET", "PREPARE", "DEALLOCATE"})

_CONTROL: Final = "transaction control is not allowed: whimbrel begins and commits; delete it"
_TABLE_LOCKS: Final = "LOCK TABLES would commit, and lock out the ledger: delete it"
_REFUSED: Final[dict[str, tuple[str, str]]] = {
    **dict.fromkeys(
        ("BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "XA"),
        ("TransactionControl", _CONTROL),
    ),
    **dict.fromkeys(("LOCK", "UNLOCK"), ("TableLocks", _TABLE_LOCKS)),
    "USE": ("UseDatabase", "another database would be used from here on: write its name before "
            "the table's instead"),
    "DELIMITER": ("Delimiter", "DELIMITER is a command of the mariadb client: leave it out; a "
                  "stored program with a body is the last statement of its file"),
    "HANDLER": ("NotCarried", "HANDLER keeps a table open between statements: use SELECT"),
    "BACKUP": ("NotCarried", "BACKUP is no migration: delete it"),
    "KILL": ("NotCarried", "KILL is no migration: delete it"),
    "SHUTDOWN": ("NotCarried", "SHUTDOWN is no migration: delete it"),
    "SOURCE": ("NotCarried", "source is a command of the mariadb client: put the text here"),
}  # fmt: skip
_LOCK_FUNCTIONS: Final = frozenset({"GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS"})
# What would outlast the file, or make what follows mean something else.
_FORBIDDEN_SETTINGS: Final = frozenset({
    "AUTOCOMMIT", "COMPLETION_TYPE", "NAMES", "CHARACTER", "CHARSET", "ROLE", "TRANSACTION",
    "CHARACTER_SET_CLIENT", "CHARACTER_SET_CONNECTION", "CHARACTER_SET_RESULTS", "TX_READ_ONLY",
    "IN_TRANSACTION", "PSEUDO_THREAD_ID", "SQL_LOG_BIN", "TRANSACTION_READ_ONLY",
})  # fmt: skip
_SCOPES: Final = frozenset({"SESSION", "LOCAL", "GLOBAL", "@@", "@", "."})


def main_words(words: Words) -> Words:
    """Return the words of the statement itself, behind SET STATEMENT ... FOR."""
    said = [each.word for each in words]
    if said[:2] == ["SET", "STATEMENT"] and "FOR" in said:
        return words[said.index("FOR") + 1 :] or words
    return words


def commits_of(words: Words) -> Commits:
    """Return when what a statement did is there to stay."""
    first, *rest = (each.word for each in main_words(words)[:4])
    if first in {"CREATE", "DROP"} and "TEMPORARY" in rest:
        return Commits.SESSION
    if first in _SESSION:
        return Commits.ITSELF if "PASSWORD" in rest[:1] else Commits.SESSION
    return Commits.ROWS if first in _ROWS else Commits.ITSELF


def may_repeat(words: Words) -> bool:
    """Return whether a statement may run twice, whatever it is about."""
    return main_words(words)[0].word in _MAY_REPEAT


def settings_of(words: Words) -> tuple[str, ...]:
    """Return the settings of the session that a SET changes, without user variables."""
    said = {each.word for each in words}
    if words[0].word != "SET" or "GLOBAL" in said:
        return ()
    return tuple(_assigned(words))


def _assigned(words: Words) -> list[str]:
    """Return the names before each `=` at the top of a SET, but for user variables."""
    names, depth, start = [], 0, True
    for before, each in pairwise(words):
        depth += (each.word == "(") - (each.word == ")")
        if start and each.word not in _SCOPES:
            start = False
            if before.word != "@":
                names.append(each.raw.lower())
        if each.word == "," and not depth:
            start = True
    return names


def refuse(statement: Statement, words: Words, ledger_schema: str) -> None:
    """Refuse what no file may say.

    Raises:
        RefusedError: The sentence names file and line.
    """
    main = [each.word for each in main_words(words)]
    if main[0] in _REFUSED:
        raise _refused(statement, *_REFUSED[main[0]])
    if main[0] not in _COMMITS_ITSELF | _ROWS | _SESSION:
        told = f"{main[0]} begins no statement that is known here: check its spelling"
        raise _refused(statement, "SyntaxError", told)
    if main[0] == "SET":
        _refuse_settings(statement, words)
    if main[0] == "DROP" and {"DATABASE", "SCHEMA"} & {*main[1:2]}:
        told = "with the database its ledger would go: drop a database by hand"
        raise _refused(statement, "DropsDatabase", told)
    if main[0] == "LOAD" and "LOCAL" in main:
        told = "LOAD DATA LOCAL needs a file of the client's: use INSERT instead"
        raise _refused(statement, "LocalFile", told)
    _refuse_names(statement, words, ledger_schema)


def _refuse_settings(statement: Statement, words: Words) -> None:
    for name in _assigned(words):
        if name.upper() in _FORBIDDEN_SETTINGS:
            told = f"SET {name} would last beyond this file, or change what it means"
            raise _refused(statement, "SettingNotAllowed", f"{told}: delete it")


def _refuse_names(statement: Statement, words: Words, ledger_schema: str) -> None:
    begin = f"{ledger_schema}_".upper()
    for each, following in zip(words, (*words[1:], Word(";", ";")), strict=True):
        if each.word == "'":
            continue
        name = each.raw.upper()
        if name in _LOCK_FUNCTIONS and following.word == "(":
            told = f"{name} could give the migrator's own lock away: delete it"
            raise _refused(statement, "LockFunction", told)
        if name.startswith(begin):
            raise _refused(
                statement,
                "LedgerNamed",
                f"{each.raw}: tables that begin with {ledger_schema}_ are whimbrel's ledger, "
                "which no migration may name",
            )


def _refused(statement: Statement, reason: str, sentence: str) -> RefusedError:
    return RefusedError(reason, f"{statement.file}, line {statement.line}: {sentence}")
