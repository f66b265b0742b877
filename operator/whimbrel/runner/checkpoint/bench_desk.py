"""The desk for work on a checkpoint, made of what an attempt has."""

from whimbrel.model.checkpoint import CheckpointOptions
from whimbrel.runner.bench import Bench
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Mapping
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.lock import assert_step_may_run, keep_epoch
from whimbrel.runner.postgresql_session import postgres
from whimbrel.runner.prepared_login import Place
from whimbrel.runner.run_role import may_make_roles, role_name
from whimbrel.runner.session import Session


def desk_of(bench: Bench) -> Desk:
    """Return the desk of an attempt that holds the database."""
    holding = bench.holding

    def guard(session: Session) -> None:
        if session is not holding.session:  # it keeps the epoch, the worker's own has the lock
            keep_epoch(Ledger(session, holding.ledger.schema), holding.attempt.epoch)
        assert_step_may_run(holding.ledger, holding.attempt.epoch)

    return Desk(
        holding.ledger,
        holding.another_session,
        guard,
        bench.place.report,
        bench.place.stopping,
        holding.watchdog.patiently,
        bench.order.spec.limits.lock_hold,
    )


def login_of_migration(bench: Bench) -> tuple[str, bool]:
    """Return the login that runs the migration's statements; True for the beginning of names.

    A tool has a login of its own for each attempt where one can be made; what else runs, runs
    as we do.
    """
    place = Place(bench.holding.ledger, bench.place.target, bench.place.run_target)
    ours = (bench.holding.attempt.login, False)
    if not bench.order.spec.migrations.tool.is_foreign:
        return ours
    session = bench.holding.session
    if (prepared := place.login()) is not None:
        # Where none can be made, it has a password of each attempt: nobody else can log in.
        return (prepared.user, not session.dialect.own_logins)
    makes = session.dialect.own_logins and may_make_roles(postgres(session))
    return (role_name(bench.order.run, 0).removesuffix("0"), True) if makes else ours


def name_of_migration(bench: Bench) -> str:
    """Return what the sessions that run the migration are called; "" where a tool names its own."""
    is_foreign = bench.order.spec.migrations.tool.is_foreign
    return "" if is_foreign else bench.holding.manners.application_name


def mappings_of(asked: CheckpointOptions) -> tuple[Mapping, ...]:
    """Return the columns that an author says are renamed."""
    return tuple(
        Mapping(f"{each.table.schema_name}.{each.table.name}", each.before, each.after)
        for each in asked.mappings
    )
