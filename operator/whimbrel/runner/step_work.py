"""What every step with SQL files needs, and the error that says how one failed."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

from whimbrel.model.facts import Applied, Unfinished
from whimbrel.model.steps import CatalogObject, Direction, MigrationFile, Statement
from whimbrel.planning.dialects.fates import Fate, Said, Trouble
from whimbrel.runner.kept_table import Kept, record, resolve
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.records import delete_applied, insert_applied
from whimbrel.runner.server_errors import ServerError, read_error
from whimbrel.runner.session import Session
from whimbrel.runner.transactions import End

_SAID_NOTHING: Final = Said("", "", "", Fate.UNKNOWN)
_SHOWN: Final = 200  # characters of a statement in messages


def _ignore(_text: str) -> None:
    pass


@dataclass(frozen=True)
class Work:
    """The run that a step belongs to.

    Attributes:
        ledger: Ledger seen through the worker's own session.
        run: Id of the run.
        owner: namespace/name of the object.
        image: Image of the run, or "".
        history: Key of the ledger.
        keep_salvage: Seconds for which salvage is kept.
        guard: Raises unless epoch and lock are ours; called inside each transaction, first.
        prove: Returns how a transaction ended, asked on another session.
        kept: The tool's own table, or None where it has none.
        unfinished: What stands in it as begun and not finished.
        started: Ids of steps outside a transaction that an earlier attempt began.
        patiently: Entered around statements that wait for old transactions but block nobody.
        held_back: Entered around what clears a half: a stop waits for that for a while.
        tell: Takes a line about what is being done.
    """

    ledger: Ledger
    run: str
    owner: str
    image: str
    history: str
    keep_salvage: float
    guard: Callable[[Session], None]
    prove: Callable[[str], End]
    kept: Kept | None = None
    unfinished: tuple[Unfinished, ...] = ()
    started: frozenset[str] = frozenset()
    patiently: Callable[[], AbstractContextManager[None]] = nullcontext
    held_back: Callable[[], AbstractContextManager[None]] = nullcontext
    tell: Callable[[str], None] = _ignore

    def unfinished_of(self, file: MigrationFile) -> list[Unfinished]:
        """Return what stands in the tool's own table of a file that is to run (again)."""
        return [each for each in self.unfinished if each.version == file.version]


class StepFailedError(Exception):
    """A step failed at a statement.

    Attributes:
        step: Id of the step.
        statement: The statement with file and line, or None (salvage, COMMIT).
        doing: What was being done where there is no statement.
        line: Line in the file where the server saw the error, or of the statement; 0 for none.
        said: What the server said; nothing where it said nothing.
        server: Its message, without what may hold values.
        xid: Id of the transaction, or "".
        end: What became of the transaction; ABORTED where there was none or nothing is left.
        unit: What is all or nothing: the transaction, or the statement.
    """

    def __init__(self, step: str, place: "Place", error: ServerError | None = None) -> None:
        self.step = step
        self.statement = place.statement
        self.doing = place.doing
        self.said = read_error(error) if error else _SAID_NOTHING
        self.line = _error_line(place.statement, self.said)
        self.server = self.said.message
        self.xid = place.xid
        self.end = End.UNKNOWN
        self.unit = "transaction"
        super().__init__(step)

    def __str__(self) -> str:
        """Return what failed."""
        return self.sentence()

    @property
    def sqlstate(self) -> str:
        """SQLSTATE or error number, "" when the connection broke."""
        return self.said.code

    @property
    def fate(self) -> Fate:
        """Whether the same statement may pass at another try."""
        return self.said.fate

    @property
    def trouble(self) -> Trouble:
        """Which error it is, of those that are answered in a way of their own."""
        return self.said.trouble

    @property
    def file(self) -> str:
        """Name of the file, or ""."""
        return self.statement.file if self.statement else ""

    def shown(self) -> str:
        """Return the beginning of the statement on one line."""
        text = " ".join(self.statement.text.split()) if self.statement else ""
        return text if len(text) <= _SHOWN else text[: _SHOWN - 4] + " ..."

    def sentence(self) -> str:
        """Return what failed where, with SQLSTATE and the server's words."""
        where = f"{self.file}, line {self.line}" if self.statement else self.doing
        state = f" ({self.said.shown})" if self.said.code else ""
        what = f": {self.shown()}" if self.statement else ""
        return f"{where}: {self.server}{state}{what}"


@dataclass
class Place:
    """How far a step has come; it alone is changed while a step runs."""

    statement: Statement | None = None
    doing: str = "the start of the transaction"
    xid: str = ""

    def at(self, statement: Statement) -> None:
        """Take note of the statement that runs now."""
        self.statement, self.doing = statement, ""

    def between(self, doing: str) -> None:
        """Take note of something of ours that runs now."""
        self.statement, self.doing = None, doing


def run_statement(session: Session, statement: Statement) -> None:
    """Send a statement exactly as its author wrote it."""
    session.run(statement.text)


def record_file(
    work: Work, direction: Direction, file: MigrationFile, added: frozenset[CatalogObject]
) -> None:
    """Write or remove the rows of a file that ran, in the transaction that is open.

    Raises:
        TransientError: Somebody else has written the tool's own table meanwhile.
    """
    session, kept = work.ledger.session, work.kept
    if kept is not None:
        if direction is Direction.UP and not kept.table.begin:
            resolve(kept, session, work.unfinished_of(file))
        record(kept, session, direction, file, kept.table.apply)
        added = kept.without(added)
    if direction is Direction.DOWN:
        delete_applied(work.ledger, work.history, file.version)
        return
    _insert(work, file, added)


def adopt_file(work: Work, file: MigrationFile) -> None:
    """Write the rows of a file that did not run, in the transaction that is open."""
    if work.kept is not None:
        record(work.kept, work.ledger.session, Direction.UP, file, work.kept.table.adopt)
    # What it would have added was there before us: a way back must not touch it.
    _insert(work, file, frozenset())


def _insert(work: Work, file: MigrationFile, added: frozenset[CatalogObject]) -> None:
    if work.kept is not None:
        # What the ledger says and the table does not is from another life of this database.
        delete_applied(work.ledger, work.history, file.version)
    row = Applied(
        history=work.history,
        version=file.version,
        name=file.name,
        checksum=file.checksum,
        owner=work.owner,
        run=work.run,
        image=work.image,
        down=file.down,
        added=added,
    )
    insert_applied(work.ledger, row)


def _error_line(statement: Statement | None, said: Said) -> int:
    if statement is None:
        return 0
    passed = statement.text[: said.position - 1] if said.position else ""
    return statement.line + passed.count("\n")
