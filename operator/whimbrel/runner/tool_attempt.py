"""One start of a foreign tool: its own login where that can be had, what it changed, its end."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Final

from whimbrel.model.errors import (
    FailedError,
    HeldError,
    RefusedError,
    TransientError,
    WhimbrelError,
)
from whimbrel.model.steps import CatalogObject, Direction, RunTool
from whimbrel.planning.build import shown
from whimbrel.planning.dialects.fates import Fate, Trouble
from whimbrel.planning.shape import differ
from whimbrel.planning.tools.foreign import own_options, scheme_for
from whimbrel.planning.tools.registry import foreign_tool, project_of
from whimbrel.runner.attempts import read_attempts, record_tool
from whimbrel.runner.bench import Bench
from whimbrel.runner.bookkeeping import UnreadableError, read_revisions
from whimbrel.runner.catalog import Identity, added, read_identities
from whimbrel.runner.half_done import half, half_done, may_be_half, part_stays, refuse_half_done
from whimbrel.runner.ledger import expect_ledger
from whimbrel.runner.postgresql_session import postgres
from whimbrel.runner.prepared_login import Place, let_in
from whimbrel.runner.records import ToolRun, read_tool_runs
from whimbrel.runner.redact import Redactor
from whimbrel.runner.run_role import OWN_ROLES, make_role, may_make_roles, remove_role, role_name
from whimbrel.runner.run_tool import ToolFailedError, ToolPlace, expect_before, run_tool, same
from whimbrel.runner.server_errors import SERVER_ERRORS, is_trouble
from whimbrel.runner.servers import server_of
from whimbrel.runner.session import Session, Theirs, Watched
from whimbrel.runner.sessions import open_session
from whimbrel.runner.shapes import record_end, record_start, tool_shape
from whimbrel.runner.strangers import busy_strangers
from whimbrel.runner.target import Login, with_login
from whimbrel.runner.watchdog import Limits, Watchdog

Identities = Mapping[CatalogObject, Identity]

_SESSIONS_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05


def run_tool_step(step: RunTool, bench: Bench) -> None:
    """Start the tool once, and read back what it did.

    Raises:
        FailedError: It failed, and bookkeeping and fingerprint are as before.
        TransientError: It was stopped or lost; the next attempt looks first.
    """
    ledger = bench.holding.ledger
    tool = foreign_tool(bench.order.spec.migrations.tool)
    refuse_half_done(step, bench)
    expect_before(tool, step, read_revisions(ledger.session, bench.order.spec))
    before = read_identities(ledger.session, ledger.schema)
    shape = tool_shape(bench)
    row = _row(step, bench, before, shape.fingerprint)
    with _login(bench) as login, _watching(bench, login) as watchdog:
        record_start(ledger, row, shape)
        try:
            bench.findings.warnings += _start(step, bench, login, watchdog)
        except ToolFailedError as failure:
            with bench.holding.interrupts.held_back():
                meaning = _judged(failure, row, bench, watchdog)
            raise meaning from failure
    after = read_identities(ledger.session, ledger.schema)
    new = _new(before, after) if step.direction is Direction.UP else {}
    shape = tool_shape(bench)
    rows = _read_back(bench)
    mark = shape.fingerprint
    ended = replace(row, after=rows, added=new, fingerprint_after=mark, cut=False)
    record_end(ledger, ended, shape)


def _start(step: RunTool, bench: Bench, login: Login | None, watchdog: Watchdog) -> tuple[str, ...]:
    def read(*, answered: bool) -> tuple[str, ...]:
        _await_no_session(bench, login, watchdog, answered=answered)
        bench.tool_lives.clear()
        with bench.holding.interrupts.held_back():
            expect_ledger(bench.holding.ledger, bench.findings.database_uuid)
            return _read_back(bench)

    place = tool_place(bench, login)
    bench.tool_lives.set()
    try:
        return run_tool(place, step, read)
    except RefusedError:
        bench.tool_lives.clear()  # it could not be started
        raise


def tool_place(bench: Bench, login: Login | None) -> ToolPlace:
    """Return where the tool runs, with the URL rendered for it."""
    spec = bench.order.spec
    if bench.place.tool is None:
        raise TransientError("ToolNotThere", "the tool's container is not there")
    manners = bench.holding.manners
    # A pooler refuses a login with options; then the watchdog alone bounds the tool.
    kind, target = server_of(bench.place.target), bench.place.target
    options = "" if bench.holding.session.is_pooled() else kind.options(manners)
    given = own_options(spec) if kind.in_environment else ""
    url = kind.render(
        target,
        scheme_for(foreign_tool(spec.migrations.tool), spec, target.server),
        login=login,
        options=f"{given} {options}".strip(),
        application_name=manners.application_name,
    )
    own_password = Redactor([login.password] if login else []).clean

    def clean(text: str) -> str:
        return own_password(bench.clean(text))

    name = manners.application_name
    inherited = options if kind.in_environment else ""
    return ToolPlace(bench.place.tool, spec, url, name, inherited, clean, bench.place.report)


def finish_lost_tool_runs(bench: Bench) -> None:
    """Read back what a tool did whose runner did not live to do so; its end is proven by now."""
    ledger = bench.holding.ledger
    lost = [run for run in read_tool_runs(ledger, bench.order.spec) if run.after is None]
    for run in lost:
        rows = _read_back(bench)
        now = read_identities(ledger.session, ledger.schema)
        shape = tool_shape(bench)
        new = _new(run.added, now) if not same(rows, run.before) else {}
        mark = half(bench) if may_be_half(run, rows, bench) else shape.fingerprint
        seen = replace(run, after=rows, added=new, fingerprint_after=mark)
        record_end(ledger, seen, shape)


def _read_back(bench: Bench) -> tuple[str, ...]:
    """Return what the bookkeeping shows after a start of the tool; unknown is not "as before"."""
    order = bench.order
    try:
        return read_revisions(bench.holding.session, order.spec)
    except UnreadableError as error:
        raise HeldError(
            error.reason,
            f"the tool ran, and what it did cannot be read back: {error.message}; then retry",
            command=f"whimbrel retry {order.name} -n {order.namespace}",
        ) from error


def _new(before: Identities, after: Identities) -> Identities:
    return {each: after[each] for each in added(before, after)}


def _row(step: RunTool, bench: Bench, present: Identities, shape: str) -> ToolRun:
    """Return the ledger's row of a start; until its end is read back it keeps what was there."""
    order = bench.order
    return ToolRun(
        run=order.run,
        segment=order.segment.value,
        attempt=order.attempt,
        step=step.id,
        history=project_of(order.spec),
        image=order.tool_image(),
        before=step.before,
        after=None,
        added=present,
        fingerprint_before=shape,
    )


@contextmanager
def _login(bench: Bench) -> Iterator[Login | None]:
    """Give the tool a login of its own, recorded before it is made, and take it away again."""
    ledger, order = bench.holding.ledger, bench.order
    place = Place(ledger, bench.place.target, bench.place.run_target)
    if (prepared := place.login()) is not None:
        record_tool(ledger, order, run_role=prepared.user)
        with let_in(place, prepared, bench.holding.attempt.epoch) as login:
            yield login
        return
    if not ledger.session.dialect.own_logins or not may_make_roles(postgres(ledger.session)):
        record_tool(ledger, order)
        yield None
        return
    name = role_name(order.run, order.attempt)
    for earlier in read_attempts(ledger, order.run):
        # A fence ends a login and leaves it: only now nobody can need it any more.
        if earlier.run_role.startswith(OWN_ROLES) and earlier.attempt != order.attempt:
            _drop_role(bench, earlier.run_role)
    record_tool(ledger, order, run_role=name)
    try:
        yield make_role(postgres(ledger.session), name, bench.holding.manners)
    finally:
        _drop_role(bench, name)


def _drop_role(bench: Bench, name: str) -> None:
    """Drop the tool's login; what stops that is a warning, it must not hide how the tool ended."""
    ledger = bench.holding.ledger
    gone = False
    with contextlib.suppress(WhimbrelError, *SERVER_ERRORS):
        gone = remove_role(postgres(ledger.session), bench.place.target, ledger.schema, name)
    if not gone:
        bench.findings.warnings.append(f"RoleLeft: the login {name} could not be dropped yet")


def _watching(bench: Bench, login: Login | None) -> Watchdog:
    """Watch the tool's sessions too; only its own login may cancel them (PostgreSQL 16+)."""
    target = bench.place.target if login is None else with_login(bench.place.target, login)
    manners, limits = bench.holding.manners, bench.order.spec.limits

    def connect() -> Session:
        session = open_session(target, manners)
        # The login's default role is the owner, who may not cancel what the login does.
        session.without_role()
        return session

    return Watchdog(
        connect,
        Watched(manners.application_name, role=login.user if login else ""),
        Limits(wait=limits.lock_timeout, hold=limits.lock_hold),
    )


def _await_no_session(
    bench: Bench, login: Login | None, watchdog: Watchdog, *, answered: bool
) -> None:
    """Wait until no session of the tool is left; those of a dead tool are terminated."""
    attempt, dogs = bench.holding.attempt, (bench.holding.watchdog, watchdog)
    spared = (attempt.backend_pid, *(each.backend_pid for each in dogs), *bench.spare)
    role = login.user if login else ""
    who = Theirs(attempt.application_name, attempt.login, role, spared)
    with closing(_seeing(bench, login)) as session:
        _await_none_named(session, who)
        # Asked even where the driver takes our name: env.py may give another one. A tool that came
        # to its own end has heard the answer to each of its statements: nothing of it is at work.
        strangers = (
            ""
            if role or answered
            else busy_strangers(session, attempt.login, attempt.opened_at, attempt.backend_pid)
        )
    if strangers:
        raise TransientError(
            "ToolSessionsLeft",
            "the tool has ended, but sessions of its login that were opened since its start are "
            f"at work, and may be the tool's: {strangers}",
        )


def _seeing(bench: Bench, login: Login | None) -> Session:
    """Open a session that sees the tool's: where we make no logins, each sees its own alone.

    Not the worker's: once a stop is asked for, whatever that one runs is cancelled.
    """
    holding = bench.holding
    if login is None or holding.session.dialect.own_logins:
        return holding.another_session()
    return open_session(with_login(bench.place.target, login), holding.manners)


def _await_none_named(session: Session, who: Theirs) -> None:
    end = time.monotonic() + _SESSIONS_SECONDS
    while session.count(who):
        if time.monotonic() > end:
            _terminate(session, who)
            raise TransientError("ToolSessionsLeft", "sessions of the tool did not end")
        time.sleep(_POLL_SECONDS)


def _terminate(session: Session, who: Theirs) -> None:
    try:
        session.terminate(who)
    except SERVER_ERRORS as error:
        if not is_trouble(error, Trouble.PRIVILEGE):
            raise


def _judged(
    failure: ToolFailedError, row: ToolRun, bench: Bench, watchdog: Watchdog
) -> WhimbrelError:
    """Return what a failed start means, from what the database shows now."""
    ledger = bench.holding.ledger
    now = read_identities(ledger.session, ledger.schema)
    shape, part = tool_shape(bench), part_stays(failure, bench)
    mark = half(bench) if part else shape.fingerprint
    cut = failure.stays is None or part is not None
    seen = replace(row, after=failure.after, fingerprint_after=mark, cut=cut)
    record_end(ledger, replace(seen, added=_new(row.added, now)), shape)
    same_rows = same(failure.after, failure.before)
    shown_there = same_rows and differ(row.fingerprint_before, shape.fingerprint)
    if part is not None and (failure.stays or not shown_there):
        return part
    if shown_there:
        return half_done(failure.message, failure.step, bench)
    bench.findings.revision = shown(bench.order.spec, failure.after)
    state = f"it left the database at {bench.findings.revision or 'no revision'}"
    if same(failure.after, failure.before):
        state = "bookkeeping and fingerprint are as before: nothing stayed"
    return _meaning(failure, state, bench, watchdog)


def _meaning(
    failure: ToolFailedError, state: str, bench: Bench, watchdog: Watchdog
) -> WhimbrelError:
    """Return what happens next; the order of the reasons is the documentation.

    Only what would fail again counts as a failure of the migration: what heals takes nothing
    back, and the next attempt goes on from what is applied by then.
    """
    if bench.place.stopping.is_set():
        told = f"stopped on request: {failure.message}; {state}"
        return TransientError("Stopped", told, retry_after=1.0)
    stops = [each for each in watchdog.sightings() if each.stopped]
    told = "".join(f"; the tool {each.sentence()}" for each in stops[:1])
    if stops and not stops[0].waited:
        return FailedError(
            "LockHeldTooLong", f"{failure.message}{told}, more than limits.lockHold; {state}"
        )
    if stops or (failure.sqlstate and _fate(failure, bench) is not Fate.PERMANENT):
        return TransientError("Blocked", f"{failure.message}{told}; {state}", retry_after=5.0)
    return FailedError("ToolFailed", f"{failure.message}; {state}")


def _fate(failure: ToolFailedError, bench: Bench) -> Fate:
    return bench.holding.session.dialect.fate_of(failure.sqlstate)
