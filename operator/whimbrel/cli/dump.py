"""Dumps at a terminal: where they are kept, and what of them can go."""

import os
from pathlib import Path

from whimbrel.model.spec import Spec
from whimbrel.runner.checkpoint.dump.freeze import frozen_by, thaw
from whimbrel.runner.checkpoint.dump.gone import remove_expired
from whimbrel.runner.checkpoint.dump.programs import ENGINE
from whimbrel.runner.checkpoint.dump.record import Dumped, is_over, place_of, read_dumps
from whimbrel.runner.checkpoint.settle import free_desk
from whimbrel.runner.dump import DumpPlace
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.local_tool import LocalTool
from whimbrel.runner.lock import take_lock
from whimbrel.runner.runs import open_run
from whimbrel.runner.session import Manners
from whimbrel.runner.sessions import open_session
from whimbrel.runner.target import Target

_PATIENCE = 5.0  # seconds to wait for the lock


def dumps_in(state_dir: Path) -> Path:
    """Return the folder of the dumps; what the claim is in a cluster."""
    return (state_dir / "dumps").resolve()


def dumps_here(spec: Spec, folder: Path) -> DumpPlace | None:
    """Return where dumps are kept, with the programs of PATH; None where nobody asks for one."""
    if spec.checkpoint is None or spec.checkpoint.dump is None:
        return None
    return DumpPlace(LocalTool(Path(os.sep)), folder)


def dumps_over(ledger: Ledger) -> tuple[Dumped, ...]:
    """Return the dumps whose time is over."""
    return tuple(each for each in read_dumps(ledger) if is_over(ledger, each))


def about(dump: Dumped) -> str:
    """Return what a person should know before it goes."""
    return f"of {dump.owner}, {place_of(dump)}, until {dump.kept_until}; removed where it is"


def can_thaw(ledger: Ledger) -> tuple[str, ...]:
    """Return what is left of stopped writes, where no run holds the database any more."""
    if ledger.session.dialect.name != ENGINE or open_run(ledger) is not None:
        return ()
    return tuple(frozen_by(ledger.session, ledger.schema))


def remove_over(ledger: Ledger, target: Target, folder: Path) -> tuple[str, ...]:
    """Remove the files that are in a folder, and what stops writes; return what is gone.

    Raises:
        TransientError: A runner is at work.
    """
    freezes = can_thaw(ledger)
    if freezes:
        take_lock(ledger.session, patience=_PATIENCE)
        manners = Manners("whimbrel", 1.0)
        thaw(free_desk(ledger, lambda: open_session(target, manners), lambda _: None))
    files = remove_expired(ledger, DumpPlace(None, folder))
    return (*freezes, *(f"dump {name}" for name in files))
