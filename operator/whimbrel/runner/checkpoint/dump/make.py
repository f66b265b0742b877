"""Makes the dump before the first step of a run, and reads it back."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from whimbrel.model.dump import PlannedDump
from whimbrel.model.errors import RefusedError, TransientError, WhimbrelError
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.steps import Direction
from whimbrel.planning.checkpoint.dump import programs as argv
from whimbrel.planning.dialects import postgresql_dump as words
from whimbrel.runner.bench import Bench
from whimbrel.runner.catalog import read_shape
from whimbrel.runner.checkpoint.bench_desk import desk_of
from whimbrel.runner.checkpoint.dump.freeze import expect_frozen, freeze, thaw
from whimbrel.runner.checkpoint.dump.gone import remove_expired
from whimbrel.runner.checkpoint.dump.planned import programs_of
from whimbrel.runner.checkpoint.dump.programs import ENGINE, Programs, Said, read_file
from whimbrel.runner.checkpoint.dump.record import Dumped, Stage, read_dump, write_dump
from whimbrel.runner.checkpoint.manifest import short_id
from whimbrel.runner.facts import revision_of
from whimbrel.runner.ledger import raise_epoch
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.sessions import own

_PRIVATE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700
_NAME: Final = 100  # characters of the object's name in that of a file
# Words of a server that is busy or away, in whatever pg_dump says around them.
_HEALS: Final = (
    "canceling statement due to lock timeout", "deadlock detected", "connection to server",
    "server closed the connection", "terminating connection", "could not connect",
)  # fmt: skip
Expect = Callable[[], None]


def _expect_nothing() -> None:
    pass


def dump_first(plan: RunnerPlan, bench: Bench) -> Expect:
    """Make the dump of a plan that has one; return what is called before each step.

    Raises:
        RefusedError: It cannot be made; no step ran.
        TransientError: The server is busy, the claim is full, or we are told to stop.
    """
    ledger, planned = bench.holding.ledger, plan.dump
    if ledger.session.dialect.name != ENGINE:
        return _expect_nothing
    thaw(desk_of(bench), besides=bench.order.run)
    remove_expired(ledger, bench.place.dumps)
    known = read_dump(ledger, bench.order.run) if plan.direction is Direction.UP else None
    if known is None or not known.is_whole:
        if planned is None or plan.direction is not Direction.UP:
            return _expect_nothing
        known = _frozen_and_made(_begun(planned, bench), bench)
    if not known.frozen_until:
        return _expect_nothing
    whole = known
    return lambda: expect_frozen(whole, bench)


def freeze_new_tables(bench: Bench) -> None:
    """Stop writes to the tables that the migration has made, too, and keep what proves it."""
    dump = read_dump(bench.holding.ledger, bench.order.run)
    if dump is None or not dump.frozen_until:
        return
    _keep(replace(dump, freeze=freeze(dump, bench)), bench)


def epoch_since_dump(bench: Bench) -> int:
    """Return the epoch at the end of an attempt: higher than in the dump that its run has.

    So whoever restores that by hand has a ledger that went back, also where this run is the last.
    """
    ledger = bench.holding.ledger
    dump = read_dump(ledger, bench.order.run)
    return raise_epoch(ledger) if dump is not None and dump.is_whole else bench.findings.epoch


def _begun(planned: PlannedDump, bench: Bench) -> Dumped:
    """Return what is known before there is a file; the end of a freeze is fixed here."""
    order, session = bench.order, bench.holding.session
    asked, limits = order.spec.checkpoint, order.spec.limits
    keep_for = asked.keep_for if asked is not None else 0.0
    ((now, until),) = own(session, words.NOW, keep_for)
    frozen = limits.progress_deadline + order.spec.soak
    ((_, thawed),) = own(session, words.NOW, frozen)
    shape = read_shape(session, bench.holding.ledger.schema)
    return Dumped(
        run=order.run,
        owner=order.owner(),
        claim=planned.options.claim_name,
        file=f"{order.owner().replace('/', '-')[:_NAME]}-{short_id(order.run)}.dump",
        at=_text(now),
        kept_until=_text(until),
        state=Stage.FROZEN,
        revision=revision_of(bench.facts(), order),
        shape=(shape.version, shape.parts),
        is_way_back=planned.is_way_back,
        frozen_until=_text(thawed) if planned.freezes else "",
    )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _frozen_and_made(begun: Dumped, bench: Bench) -> Dumped:
    """Make a dump; where that fails, applications do not wait for the next attempt."""
    if not begun.frozen_until:
        return _made(begun, bench)
    try:
        _keep(begun, bench)
        return _made(replace(begun, freeze=freeze(begun, bench)), bench)
    except WhimbrelError:
        with contextlib.suppress(WhimbrelError, *SERVER_ERRORS):
            thaw(desk_of(bench))
        raise


def _made(begun: Dumped, bench: Bench) -> Dumped:
    session = bench.holding.session
    programs = programs_of(bench.order, bench.place)
    ((now, _),) = own(session, words.NOW, 0.0)
    bench.place.report(f"dump: writing {begun.file}")
    folder = _folder(programs)
    partial = folder / f"{begun.file}.{bench.order.attempt}.partial"
    try:
        size, sha256 = _written(programs, partial, bench)
        partial.rename(folder / begun.file)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    version = programs.version(argv.DUMP)
    whole = replace(
        begun, at=_text(now), state=Stage.READY, size=size, sha256=sha256, version=version
    )
    _keep(whole, bench)
    bench.place.report(f"dump: {begun.file}, {size} bytes, read back")
    return whole


def _keep(dump: Dumped, bench: Bench) -> None:
    ledger = bench.holding.ledger
    with ledger.session.transaction():
        desk_of(bench).guard(ledger.session)
        write_dump(ledger, dump)


def _folder(programs: Programs) -> Path:
    folder = programs.place.folder
    try:
        folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def _unwritable(folder: Path, error: OSError) -> TransientError:
    return TransientError(
        "DumpNotWritten",
        f"the dump cannot be kept in {folder}: {error.strerror}; no step ran: see that the claim "
        "has room, and that group job.fsGroup may write there",
        retry_after=30.0,
    )


def _written(programs: Programs, path: Path, bench: Bench) -> tuple[int, str]:
    """Return size and sha256 of a new dump that pg_restore can list."""
    said = programs.run(argv.dump_to(str(path)))
    if said.exit_code != 0:
        raise _not_made(said, "pg_dump", bench)
    listed = programs.run(argv.list_contents(str(path)))
    if listed.exit_code != 0:
        raise _not_made(listed, "pg_restore --list", bench)
    path.chmod(_PRIVATE)
    return read_file(path)


def _not_made(said: Said, program: str, bench: Bench) -> WhimbrelError:
    told = f"{program} failed: {said.sentence()}; no step ran"
    if bench.place.stopping.is_set() or said.exit_code is None:
        return TransientError("Stopped", f"stopped on request: {told}", retry_after=1.0)
    if any(each in line for line in said.lines for each in _HEALS):
        return TransientError("Blocked", told)
    if any("No space left" in line or "Permission denied" in line for line in said.lines):
        return TransientError("DumpNotWritten", told, retry_after=30.0)
    return RefusedError("DumpFailed", told)
