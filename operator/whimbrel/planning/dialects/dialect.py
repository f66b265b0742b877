"""What a kind of server is to the runner: its statements as text, one module for each part.

A module is the value here: mypy checks that each has every statement that is asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from whimbrel.planning.dialects.fates import Fate


class ServerWords(Protocol):
    """Locks and logins."""

    TRY_BOOTSTRAP_LOCK: str
    AFTER_INSTALL: tuple[str, ...]
    TRY_LOCK: str
    UNLOCK: str
    LOCK_HOLDER: str
    WHO_AM_I: str

    def quote_name(self, schema: str, name: str) -> str:
        """Return both, quoted, with a point between them."""

    def first_words(self, query: str, limit: int = 6) -> str:
        """Return how a query begins, without any value of it."""

    def ledger_grants(
        self, schema: str, account: str, database: str, *, exists: bool
    ) -> tuple[str, ...]:
        """Return what a DBA runs so that an account can have its ledger; `exists`: it is there."""


class LedgerWords(Protocol):
    """The ledger."""

    LEDGER_VERSION: int
    UPGRADES: dict[int, tuple[str, ...]]
    HAS_SCHEMA: str
    CREATE_SCHEMA: str
    READ_TABLES: str
    CREATE_META: str
    FIRST_META: str
    READ_META: str
    LOCK_META: str
    SET_VERSION: str
    RAISE_EPOCH: str
    CHECK_STEP: str
    READ_OPEN_RUN: str
    READ_RUN: str
    READ_RUNS: str
    NEWER_RUN: str
    INSERT_RUN: str
    SET_RUN_PLAN: str
    SET_RUN_TARGET: str
    SET_RUN_STATE: str
    READ_ATTEMPT: str
    READ_ATTEMPTS: str
    INSERT_ATTEMPT: str
    SET_ATTEMPT_TOOL: str
    CLOSE_ATTEMPT: str
    FENCE_ATTEMPT: str
    START_STEP: str
    FINISH_STEP: str
    READ_STEPS: str
    READ_STARTED: str
    FORGET_STEP: str
    READ_APPLIED: str
    INSERT_APPLIED: str
    DELETE_APPLIED: str
    READ_HALF: tuple[str, ...]
    FORGET_HALF: tuple[str, ...]
    RECORD_TOOL_RUN: str
    READ_TOOL_RUNS: str
    RECORD_SALVAGE: str
    READ_SALVAGE: str
    EXPIRED_SALVAGE: str
    FORGET_SALVAGE: str
    RECORD_ROLLED_BACK: str
    LIFT_ROLLED_BACK: str
    READ_ROLLED_BACK: str
    RECORD_RESOLUTION: str
    READ_RESOLUTIONS: str
    READ_NOTE: str
    WRITE_NOTE: str
    FORGET_NOTE: str

    def tables(self, version: int) -> frozenset[str]:
        """Return the names of the tables of a ledger of a version."""

    def in_schema(self, statement: str, schema: str) -> str:
        """Return a statement of the module for the ledger in a schema."""


class CatalogWords(Protocol):
    """What there is, and copies of it."""

    READ_OBJECTS: str
    READ_FOREIGN_KEYS: str
    READ_SHAPE: str
    TOLD: tuple[str, ...]
    READ_COLUMNS: str
    READ_PARTITIONS: str
    FIND_TABLES: str
    READ_XID: tuple[str, ...]
    BEFORE_COPY: tuple[str, ...]
    AFTER_COPY: tuple[str, ...]
    READ_KEY: str

    def select_rows(self, schema: str, table: str, columns: Sequence[str], order: str) -> str:
        """Return the query for columns of a tool's table, as text."""

    def ledger_table(self, schema: str, name: str) -> tuple[str, str]:
        """Return schema and name of a table of the ledger."""

    def lock_table(self, schema: str, name: str) -> tuple[str, ...]:
        """Return what keeps everybody away from a table until the transaction ends."""

    def has_data(self, schema: str, name: str, columns: Sequence[str]) -> str:
        """Return the question whether a table has rows, or values in the given columns."""

    def copy_table(
        self,
        copy: tuple[str, str],
        source: tuple[str, str],
        shown: Sequence[str],
        columns: Sequence[str],
    ) -> str:
        """Return the statement that copies what would be lost."""

    def count_rows(self, schema: str, name: str) -> str:
        """Return the question how many rows a table has."""

    def drop_table(self, schema: str, name: str) -> str:
        """Return the statement that drops a table of ours."""


class CheckpointWords(Protocol):
    """The rows of checkpoints in the ledger, and what a run asks around one."""

    READ_CHECKPOINT: str
    READ_CHECKPOINTS: str
    READ_COVERED: str
    READ_CONFLICTS: str
    COUNT_CONFLICTS: str
    READ_OLD_CONFLICTS: str
    FORGET_CONFLICTS: str
    INSERT_CHECKPOINT: str
    INSERT_COVERED: str
    SET_COPIED: str
    SET_CAPTURE: str
    SET_STATE: str
    SET_SNAPSHOT: str
    SET_REASON: str
    SET_WISHES: str
    FORGET_COVERED: str
    FORGET_CHECKPOINT: str
    FORGET_RUN: tuple[str, ...]
    FORGET_RESERVATION: tuple[str, ...]
    STARTED_STEPS: str
    READ_COSTS: str


@dataclass(frozen=True)
class Dialect:
    """One kind of server.

    Attributes:
        name: As facts and file names say it.
        title: As its makers write it.
        fate_of: What an error means, by its code as a tool tells it.
        commits_ddl: Whether DDL commits by itself.
        own_logins: Whether a login can be made for a foreign tool; where not, one sees only its own
            sessions.
    """

    name: str
    title: str
    server: ServerWords
    ledger: LedgerWords
    catalog: CatalogWords
    checkpoint: CheckpointWords
    fate_of: Callable[[str], Fate]
    commits_ddl: bool = False
    own_logins: bool = False
