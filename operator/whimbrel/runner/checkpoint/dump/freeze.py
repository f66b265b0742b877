"""Stops the application's writes for the time of a run, proves it, and lets them go on again."""

import hashlib
from functools import partial

from whimbrel.model.errors import HeldError, WhimbrelError
from whimbrel.planning.dialects import postgresql_freeze as words
from whimbrel.planning.dialects.postgresql_capture import IS_OVER, condition
from whimbrel.planning.dialects.postgresql_freeze import FreezeNames
from whimbrel.runner.bench import Bench
from whimbrel.runner.checkpoint.bench_desk import desk_of, login_of_migration, name_of_migration
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.dump.programs import ENGINE
from whimbrel.runner.checkpoint.dump.record import Dumped
from whimbrel.runner.checkpoint.manifest import short_id
from whimbrel.runner.checkpoint.retrying import until_unlocked
from whimbrel.runner.checkpoint.watch import expect_login
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own

Digests = dict[str, str]


def freeze(dump: Dumped, bench: Bench) -> Digests:
    """Refuse the writes of all but the migration on every table; return what proves it.

    A trigger waits for those who are writing to its table, so that nothing slips between. Again is
    safe, and covers what is new.

    Raises:
        RefusedError: Others use the migration's login, so their writes could not be told apart.
        TransientError: A table is busy.
    """
    desk, names = desk_of(bench), _names(dump, bench)
    login, own_login = login_of_migration(bench)
    if not own_login:
        expect_login(desk.session, login, _ours(bench))
    name = name_of_migration(bench)
    when = condition(login, dump.frozen_until, is_prefix=own_login, name=name)
    with desk.session.transaction():
        desk.guard(desk.session)
        if not own(desk.session, words.FREEZE_LINES, names.trigger):
            for statement in words.create_freeze(names, dump.run, dump.frozen_until):
                own(desk.session, statement)
    while tables := own(desk.session, words.NOT_FROZEN, names.schema, names.trigger):
        for schema, table in tables:
            statements = words.freeze_table(names, (schema, table), when)
            what = f"stopping writes to {schema}.{table}"
            until_unlocked(desk, what, partial(_in_transaction, desk, statements))
    return read_freeze(desk.session, names)


def _in_transaction(desk: Desk, statements: tuple[str, ...]) -> None:
    with desk.session.transaction():
        desk.guard(desk.session)
        for statement in statements:
            own(desk.session, statement)


def read_freeze(session: Session, names: FreezeNames) -> Digests:
    """Return a digest of trigger and function by number of the table."""
    found = own(session, words.FREEZE_LINES, names.trigger)
    return {str(oid): hashlib.sha256(line.encode()).hexdigest()[:16] for oid, line in found}


def why_not_frozen(dump: Dumped, bench: Bench) -> str:
    """Return why writes may have been made since the dump, "" where none can have been."""
    session, made = bench.holding.session, dump.freeze or {}
    if not made and not dump.frozen_until:
        return "the application could write since"
    if own(session, IS_OVER, dump.frozen_until)[0][0]:
        return f"writes are possible again since {dump.frozen_until}"
    now = read_freeze(session, _names(dump, bench))
    there = [str(oid) for (oid,) in own(session, words.IS_THERE, [int(each) for each in made])]
    if any(now.get(each) != made[each] for each in there):
        return "triggers that stop writes are not as they were made, or were taken away"
    login, own_login = login_of_migration(bench)
    if not own_login:
        try:
            expect_login(session, login, _ours(bench), while_open=True)
        except HeldError as shared:
            return shared.message
    return ""


def expect_frozen(dump: Dumped, bench: Bench) -> None:
    """Check that nobody can have written since the dump.

    Raises:
        HeldError: The way back by the dump is not without a loss any more.
    """
    if reason := why_not_frozen(dump, bench):
        back = f"whimbrel rollback {bench.order.name} -n {bench.order.namespace}"
        raise HeldError(
            "FreezeBroken",
            f"the application's writes are not stopped for certain: {reason}; going back by the "
            "dump may lose some, and is left to a person: a retry makes a new dump of what is "
            f"there now; to go back: {back}",
        )


def thaw(desk: Desk, *, besides: str = "") -> None:
    """Let applications write again: nothing of any freeze stays, but for one run's.

    Again is safe.

    Raises:
        TransientError: A table is busy.
    """
    schema_of_ours = desk.ledger.schema
    kept = FreezeNames(schema_of_ours, short_id(besides))
    functions = [name for name in frozen_by(desk.session, schema_of_ours) if name != kept.name]
    if not functions:
        return
    for schema, table, trigger in own(desk.session, words.FROZEN_TABLES):
        if trigger == kept.trigger:
            continue
        statements = (words.thaw_table((schema, table), trigger),)
        what = f"letting writes to {schema}.{table} go on"
        until_unlocked(desk, what, partial(_in_transaction, desk, statements))
    drops = tuple(words.drop_function(schema_of_ours, name) for name in functions)
    until_unlocked(desk, "letting writes go on", partial(_in_transaction, desk, drops))


def frozen_by(session: Session, schema: str) -> list[str]:
    """Return the names of the functions of all freezes that something is left of."""
    return [name for (name,) in own(session, words.FREEZE_FUNCTIONS, schema)]


def end_freeze(bench: Bench, state: str | None) -> None:
    """Let applications write again at the end of a run; what stops that is a warning.

    Args:
        bench: The attempt.
        state: How the run ends in the ledger; None and held ones go on, as far as anybody knows.
    """
    if state in (None, "held") or bench.holding.session.dialect.name != ENGINE:
        return
    try:
        thaw(desk_of(bench))
    except (WhimbrelError, *SERVER_ERRORS) as error:
        told = bench.clean(getattr(error, "message", "the server refused it"))
        bench.findings.warnings.append(
            f"FreezeLeft: triggers that stop writes stay, and do nothing after their time: {told}"
        )


def _names(dump: Dumped, bench: Bench) -> FreezeNames:
    return FreezeNames(bench.holding.ledger.schema, short_id(dump.run))


def _ours(bench: Bench) -> tuple[int, ...]:
    holding = bench.holding
    return (holding.attempt.backend_pid, holding.watchdog.backend_pid)
