"""Removes dumps: the file where we can reach it, and what the ledger knows of it."""

import contextlib

from whimbrel.runner.checkpoint.dump.record import Dumped, forget_dump, is_over, read_dumps
from whimbrel.runner.dump import DumpPlace
from whimbrel.runner.ledger import Ledger


def remove_dump(ledger: Ledger, dump: Dumped, place: DumpPlace | None) -> bool:
    """Remove a dump; tell whether its file is gone, which another claim's is not."""
    path = place.folder / dump.file if place is not None else None
    is_here = path is not None and path.exists()
    if path is not None and is_here:
        path.unlink()
    if is_here or not dump.is_whole:
        forget_dump(ledger, dump.run)
    return is_here


def remove_or_tell(ledger: Ledger, dump: Dumped, place: DumpPlace | None) -> tuple[str, ...]:
    """Remove a dump for good; return a warning where its file may be left, which nobody tracks."""
    try:
        gone = remove_dump(ledger, dump, place)
    except OSError as error:
        gone = False
        told = f": {error.strerror}"
    else:
        told = ", which is not mounted here or has no such file"
    if gone or not dump.is_whole:
        return ()
    forget_dump(ledger, dump.run)
    return (f"DumpLeft: {dump.file} is not removed from the claim {dump.claim}{told}",)


def remove_expired(ledger: Ledger, place: DumpPlace | None) -> tuple[str, ...]:
    """Remove the dumps whose time is over and whose files are here; return their files' names."""
    over = [each for each in read_dumps(ledger) if is_over(ledger, each)]
    gone = []
    for each in over:
        with contextlib.suppress(OSError):  # it stays, and is tried again the next time
            if remove_dump(ledger, each, place):
                gone.append(each.file)
    return tuple(gone)
