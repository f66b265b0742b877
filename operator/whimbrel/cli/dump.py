"""Dumps at a terminal: where they are kept, and what of them can go."""

import os
from pathlib import Path

from whimbrel.model.spec import Spec
from whimbrel.runner.checkpoint.dump.gone import remove_expired
from whimbrel.runner.checkpoint.dump.record import Dumped, is_over, place_of, read_dumps
from whimbrel.runner.dump import DumpPlace
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.local_tool import LocalTool


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


def remove_over(ledger: Ledger, folder: Path) -> tuple[str, ...]:
    """Remove the files that are in a folder; return what is gone."""
    return tuple(f"dump {name}" for name in remove_expired(ledger, DumpPlace(None, folder)))
