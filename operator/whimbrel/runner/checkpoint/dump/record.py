"""What the ledger knows of a dump: a note by run, which no restore of it takes away."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from whimbrel.model.checkpoint import CheckpointStatus
from whimbrel.planning.dialects import postgresql_dump as words
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.notes import Kind, forget_note, has_notes, read_note, write_note
from whimbrel.runner.sessions import own


class Stage(StrEnum):
    """How far a dump is.

    Attributes:
        FROZEN: Writes of applications are stopped; there is no file yet.
        READY: The file is there and was read back.
        RESTORED: The database was put back from it.
    """

    FROZEN = "Frozen"
    READY = "Ready"
    RESTORED = "Restored"


@dataclass(frozen=True)
class Dumped:
    """A dump as the ledger has it. Times are RFC 3339, by the server's clock.

    Attributes:
        run: Id of the run that it was made before.
        owner: Namespace/name of the object.
        claim: Claim that holds the file, as the spec named it.
        file: Name of the file.
        at: Nothing that was written later is in it.
        kept_until: Then it is removed.
        size: Bytes of the file.
        sha256: Of the file (hex).
        revision: Last applied revision then, "" for none.
        version: Major version of pg_dump.
        shape: Version and parts of the catalogue then (`Shape`).
        is_way_back: It was planned as the way back of its run.
        frozen_until: End of the freeze, "" where there was none.
        freeze: Digests of the freeze's triggers by table, as they were made.
    """

    run: str
    owner: str
    claim: str
    file: str
    at: str
    kept_until: str
    state: Stage = Stage.READY
    size: int = 0
    sha256: str = ""
    revision: str = ""
    version: int = 0
    shape: tuple[str, Any] = ("", None)
    is_way_back: bool = False
    frozen_until: str = ""
    freeze: dict[str, str] | None = None

    @property
    def id(self) -> str:
        """Return the run's id, as a checkpoint has one."""
        return self.run

    @property
    def is_whole(self) -> bool:
        """Tell whether its file was made and read back."""
        return self.state is not Stage.FROZEN


def write_dump(ledger: Ledger, dump: Dumped) -> None:
    """Keep it, instead of what was known of it."""
    values = asdict(dump) | {"state": dump.state.value}
    del values["run"]
    write_note(ledger, Kind.DUMP, dump.run, values)


def read_dump(ledger: Ledger, run: str) -> Dumped | None:
    """Return the dump of a run, or None."""
    note = read_note(ledger, Kind.DUMP, run) if has_notes(ledger) else None
    return _dump(run, note) if note is not None else None


def read_dumps(ledger: Ledger) -> tuple[Dumped, ...]:
    """Return all dumps that are known, oldest first."""
    if ledger.session.dialect.name != "postgresql" or not has_notes(ledger):
        return ()
    return tuple(_dump(run, note) for run, note in ledger.rows(words.READ_DUMPS))


def _dump(run: str, note: dict[str, Any]) -> Dumped:
    return replace(
        Dumped(run, **note), state=Stage(note["state"]), shape=(note["shape"][0], note["shape"][1])
    )


def forget_dump(ledger: Ledger, run: str) -> None:
    """Let it go."""
    forget_note(ledger, Kind.DUMP, run)


def is_over(ledger: Ledger, dump: Dumped) -> bool:
    """Tell whether its time is over, by the server's clock."""
    ((now, _),) = own(ledger.session, words.NOW, 0.0)
    return bool(now >= datetime.fromisoformat(dump.kept_until))


def as_status(dump: Dumped, *, why_not: str = "") -> CheckpointStatus:
    """Return what is shown of a dump that is kept without a copy of tables."""
    backup = "" if dump.is_way_back else "it is a backup, to be restored by hand"
    why = why_not or backup or _restored(dump)
    return CheckpointStatus(
        id=dump.run,
        state=dump.state.value,
        bytes=dump.size,
        kept_until=dump.kept_until,
        restorable=not why,
        reason=why,
        dump=place_of(dump),
    )


def _restored(dump: Dumped) -> str:
    return "it was restored" if dump.state is Stage.RESTORED else ""


def place_of(dump: Dumped) -> str:
    """Return claim and file."""
    return f"{dump.claim}/{dump.file}"
