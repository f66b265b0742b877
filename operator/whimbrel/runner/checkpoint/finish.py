"""What follows the exchange while the application works: checks, statistics, views with rows."""

from typing import Any

from whimbrel.model.errors import HeldError
from whimbrel.planning.checkpoint.clone import missing
from whimbrel.planning.checkpoint.dress import create_view, dress, drop_view, just_made
from whimbrel.planning.checkpoint.exchange import replace_rows_view, validate
from whimbrel.planning.checkpoint.facts import (
    Facts,
    foreign_keys,
    is_checked,
    is_late,
    merged_views,
    place_of,
    same_columns,
)
from whimbrel.planning.dialects import postgresql_dependents as words
from whimbrel.planning.dialects.postgresql_catalog import drop_table
from whimbrel.planning.dialects.postgresql_dependents import fill
from whimbrel.planning.dialects.postgresql_references import FOREIGN_KEY_VIOLATION, show_orphans
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint
from whimbrel.runner.checkpoint.swap import default_grantees, expect_equal, lines_about
from whimbrel.runner.checkpoint.transplant import describe_again, lines_of
from whimbrel.runner.postgresql_session import postgres
from whimbrel.runner.server_errors import SERVER_ERRORS, read_error
from whimbrel.runner.sessions import own


def finish(checkpoint: Checkpoint, desk: Desk) -> None:
    """Do what is left to do; what was done before is seen and left alone.

    Raises:
        HeldError: In the end something is not what it was, or rows break a foreign key.
        ServerError: As the server says; it is tried again.
    """
    manifests = [each.manifest for each in checkpoint.tables]
    for covered in checkpoint.tables:
        if covered.manifest["statistics"]:  # of several columns: made in the exchange
            _alone(desk, fill(words.ANALYZE, table=(covered.schema, covered.table)))
    for each in filter(is_checked, foreign_keys(manifests)):
        _check(each, desk)
    views = merged_views(each["views"] for each in manifests)
    late = [each for each in views if is_late(each, views)]
    names = [f"{checkpoint.tables[0].kept}_v{number}" for number, _ in enumerate(late)]
    for view, name in zip(late, names, strict=True):
        if not _is_equal(view, desk):
            _build_again(view, desk, name)
    for name in reversed(names):
        _drop_old(desk, name)
    with desk.session.transaction(), postgres(desk.session).pinned():
        expect_equal(desk.session, checkpoint, frozenset())


def _check(foreign: Facts, desk: Desk) -> None:
    """Look at every row under a foreign key."""
    try:
        _alone(desk, validate(foreign))
    except SERVER_ERRORS as error:
        is_told = read_error(error).code == FOREIGN_KEY_VIOLATION
        for count, shown in own(desk.session, show_orphans(foreign)) if is_told else ():
            raise HeldError(
                "RestoreUnchecked",
                f"the tables are back and the application works with them, but {count} rows of"
                f" {foreign['schema']}.{foreign['table']} refer to rows of"
                f" {'.'.join(foreign['target'][:2])} that are not there (foreign key"
                f" {foreign['name']}: {shown}): delete them or change that, then retry",
            ) from error
        raise


def _alone(desk: Desk, *statements: str) -> None:
    with desk.session.transaction():
        desk.guard(desk.session)
        for each in statements:
            own(desk.session, each)


def _now(view: Facts, desk: Desk) -> dict[str, Any]:
    if not own(desk.session, words.FIND_BY_NAME, *place_of(view)):
        return {}
    return describe_again(desk.session, *place_of(view))


def _is_equal(view: Facts, desk: Desk) -> bool:
    now, about = _now(view, desk), tuple(lines_about(view))
    there = {each for each in now.get("fingerprint", ()) if each.startswith(about)}
    return there == {each for each in lines_of(view) if each.startswith(about)}


def _build_again(view: Facts, desk: Desk, name: str) -> None:
    now = _now(view, desk)
    if view["table"]["kind"] == "m":
        fresh = _with_rows(view, desk, f"{name}n")
        _alone(desk, *replace_rows_view(view, now, fresh, name))
        return
    may_stay = bool(now) and same_columns(view, now)
    gone = [drop_view(now)] if now and not may_stay else []
    before = now if may_stay else just_made(view, default_grantees(desk.session))
    _alone(desk, *gone, create_view(view, replace=may_stay), *dress(view, before))


def _with_rows(view: Facts, desk: Desk, name: str) -> Facts:
    """Make a materialised view with rows, indexes and settings in the ledger's schema."""
    _drop_old(desk, name)  # of an attempt that was interrupted
    place = (desk.ledger.schema, name)
    _alone(desk, create_view(view, replace=False, place=place))
    _alone(desk, *missing(view, describe_again(desk.session, *place)))
    _alone(desk, fill(words.ANALYZE, table=place))
    return describe_again(desk.session, *place)


def _drop_old(desk: Desk, name: str) -> None:
    if own(desk.session, words.FIND_BY_NAME, desk.ledger.schema, name):
        old = (desk.ledger.schema, name)
        _alone(desk, drop_table(*old).replace("DROP TABLE", "DROP MATERIALIZED VIEW", 1))
