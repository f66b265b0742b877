"""Puts the whole database back from a dump, in one transaction, and says what was lost."""

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from whimbrel.model.errors import HeldError, RefusedError, TransientError, WhimbrelError
from whimbrel.planning.checkpoint.dump import programs as argv
from whimbrel.planning.dialects import postgresql_dump as words
from whimbrel.planning.dialects.fates import Fate
from whimbrel.planning.shape import named, touched
from whimbrel.runner.bench import Bench
from whimbrel.runner.catalog import read_shape
from whimbrel.runner.checkpoint.dump.freeze import why_not_frozen
from whimbrel.runner.checkpoint.dump.planned import programs_of, refuse_not_ours
from whimbrel.runner.checkpoint.dump.programs import Programs, Said, read_file
from whimbrel.runner.checkpoint.dump.record import (
    Dumped,
    Stage,
    is_over,
    place_of,
    read_dump,
    read_dumps,
)
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.notes import Kind, forget_note
from whimbrel.runner.resolutions import record_consent
from whimbrel.runner.runs import read_run, same_object
from whimbrel.runner.sessions import own
from whimbrel.runner.unchanged import distrust_image
from whimbrel.runner.verify import verify

_PATIENCE: Final = 30.0  # seconds of tries to lock all tables
_PAUSE: Final = 1.0
_EVERYTHING: Final = 1_000_000  # lines of a list of contents


def way_back(bench: Bench, to: str | None) -> Dumped | None:
    """Return the dump that leads to a revision; None where that is another means' work.

    Only where the plan said so, and nothing has changed the database since its run.

    Args:
        bench: The attempt.
        to: Revision that stays, "" for none; None for before the newest run.
    """
    ledger, order = bench.holding.ledger, bench.order
    for dump in reversed(read_dumps(ledger)):
        run = read_run(ledger, dump.run)
        if not dump.is_way_back or run is None or not same_object(order, run):
            continue
        fits = dump.state is Stage.READY and to in (None, dump.revision)
        if fits and not is_over(ledger, dump) and not ledger.rows(words.LATER_RUNS, dump.run):
            return dump
        return None
    return None


def of_this_run(bench: Bench) -> Dumped | None:
    """Return the dump that takes back what a failed run did; None where there is none."""
    dump = read_dump(bench.holding.ledger, bench.order.run)
    fits = dump is not None and dump.is_way_back and dump.state is Stage.READY
    return dump if fits else None


def restore_dump(dump: Dumped, bench: Bench) -> str:
    """Put the database back; return what was done, and what is lost.

    Raises:
        HeldError: It would lose writes and nobody accepts that, or it cannot be; nothing changed.
        TransientError: Busy, or stopped: nothing changed, call it again.
    """
    ledger = bench.holding.ledger
    lost = ""
    if dump.state is not Stage.RESTORED:
        lost = _expect_allowed(dump, bench)
        programs = programs_of(bench.order, bench.place)
        _expect_whole(dump, programs.place.folder / dump.file)
        distrust_image(bench)
        forget_note(ledger, Kind.SHAPE)
        bench.place.report(f"restoring the whole database from {dump.file}")
        _restore(dump, programs, bench, frozen=not lost)
    bench.findings.revision = verify(None, bench)
    _warn_of_difference(dump, bench)
    return _told(dump, bench, lost)


def _expect_allowed(dump: Dumped, bench: Bench) -> str:
    """Return why writes are lost, which a person accepted; "" where none can have been made."""
    reason, order = why_not_frozen(dump, bench), bench.order
    if not reason:
        return ""
    consent = order.spec.rollback.allow_data_loss
    if consent is None:
        raise HeldError(
            "DumpLosesWrites",
            f"the way back of run {dump.run} is the dump {place_of(dump)}, and a restore loses "
            f"every write since {dump.at} ({reason}); nothing was touched, and it waits until "
            "spec.rollback.allowDataLoss says who accepts it",
            command=f"whimbrel rollback {order.name} -n {order.namespace} --allow-data-loss "
            "--by WHO --reason TEXT",
        )
    with bench.holding.session.transaction():
        record_consent(bench.holding.ledger, order, consent)
    bench.findings.warnings.append(
        f"DataLossAllowed: {consent.by} allowed it ({consent.reason}): every write since {dump.at}"
    )
    return reason


def _expect_whole(dump: Dumped, path: Path) -> None:
    try:
        found = read_file(path)
    except OSError as error:
        raise _damaged(dump, f"cannot be read: {error.strerror}") from error
    if found != (dump.size, dump.sha256):
        raise _damaged(dump, "is not what was written: size or sha256 differ")


def _damaged(dump: Dumped, what: str) -> HeldError:
    return HeldError(
        "DumpDamaged",
        f"the dump {place_of(dump)} {what}; nothing was touched: put the file back, or go back by "
        "hand",
    )


def _restore(dump: Dumped, programs: Programs, bench: Bench, *, frozen: bool) -> None:
    ledger, end = bench.holding.ledger, time.monotonic() + _PATIENCE
    try:
        refuse_not_ours(ledger)
    except RefusedError as refusal:
        raise _not_restored(dump, refusal.message) from refusal
    with _scripts(dump, programs, bench, frozen=frozen) as scripts:
        while True:
            said = programs.run(argv.run_scripts(*map(str, scripts)))
            if _is_restored(ledger, dump):
                return
            error = _meaning(dump, said, bench)
            if not isinstance(error, TransientError) or time.monotonic() > end:
                raise error
            bench.place.report(f"{error.message}; trying again")
            if bench.place.stopping.wait(_PAUSE):
                raise error


def _is_restored(ledger: Ledger, dump: Dumped) -> bool:
    """Tell what the transaction itself has written, if it came to its end."""
    known = read_dump(ledger, dump.run)
    return known is not None and known.state is Stage.RESTORED


def _meaning(dump: Dumped, said: Said, bench: Bench) -> WhimbrelError:
    state, words_of_server = argv.sqlstate(said.lines)
    if bench.place.stopping.is_set() or said.exit_code is None:
        return TransientError("Stopped", "stopped before the database was restored")
    healing = state and bench.holding.session.dialect.fate_of(state) is not Fate.PERMANENT
    if healing or not state:
        told = words_of_server or said.sentence()
        return TransientError("Blocked", f"the database was not restored yet: {told}")
    return _not_restored(dump, f"{words_of_server} ({state})")


def _not_restored(dump: Dumped, why: str) -> HeldError:
    return HeldError(
        "DumpNotRestored",
        f"the dump {place_of(dump)} was not restored: {why}; nothing was changed: mend that, then "
        "try again",
    )


@contextmanager
def _scripts(
    dump: Dumped, programs: Programs, bench: Bench, *, frozen: bool
) -> Iterator[tuple[Path, Path, Path]]:
    """Give what psql runs in one transaction; it holds every row, and stays no longer."""
    path, holding = programs.place.folder / dump.file, bench.holding
    schema = holding.ledger.schema
    ends = ("before.sql", "list", "sql", "after.sql")
    before, names, script, after = (path.with_name(f"{path.name}.{each}") for each in ends)
    listed = _asked(programs, argv.list_contents(str(path), besides=schema), dump)
    there = [name for (name,) in own(holding.session, words.CANNOT_GO, schema)]
    found = argv.contents(listed, [*there, schema])
    until = dump.frozen_until if frozen else ""
    around = words.Around(
        schema, holding.attempt.epoch, dump.run, found.extensions, found.staying, until
    )
    try:
        names.write_text("".join(f"{line}\n" for line in found.lines))
        before.write_text(words.before(around))
        after.write_text(words.after(around))
        _asked(programs, argv.write_script(str(path), str(names), str(script)), dump)
        yield before, script, after
    except OSError as error:
        why = f"its statements cannot be written: {error.strerror}"
        raise _not_restored(dump, why) from error
    finally:
        for each in (before, names, script, after):
            with contextlib.suppress(OSError):
                each.unlink(missing_ok=True)


def _asked(programs: Programs, command: tuple[str, ...], dump: Dumped) -> tuple[str, ...]:
    said = programs.run(command, keep=_EVERYTHING)
    if said.exit_code is None:
        raise TransientError("Stopped", f"{command[0]} was stopped before anything was changed")
    if said.exit_code != 0:
        raise _not_restored(dump, f"{command[0]} failed: {said.sentence()}")
    return said.lines


def _warn_of_difference(dump: Dumped, bench: Bench) -> None:
    version, then = dump.shape
    now = read_shape(bench.holding.session, bench.holding.ledger.schema)
    if version != now.version or not then:
        return
    if different := touched(then, now.parts):
        bench.findings.warnings.append(
            f"NotAsBefore: in the catalogue this is not told as before: "
            f"{named(different, now.parts)}"
        )


def _told(dump: Dumped, bench: Bench, lost: str) -> str:
    ((now, _),) = own(bench.holding.session, words.NOW, 0.0)
    seconds = (now - datetime.fromisoformat(dump.at)).total_seconds()
    since = (
        f"every write since then is lost: those of the last {seconds:.0f} s"
        if lost
        else "no write was possible since, so none is lost"
    )
    return (
        f"the whole database was restored from the dump {place_of(dump)} of run {dump.run}, made "
        f"at {dump.at}; {since}"
    )
