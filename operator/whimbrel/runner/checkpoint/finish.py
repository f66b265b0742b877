"""What follows the exchange while the application works: checks, statistics, views with rows."""

from collections.abc import Mapping
from typing import Any

from whimbrel.planning.dialects import postgresql_dependents as dependents, postgresql_swap as words
from whimbrel.planning.dialects.postgresql import quote_identifier, quote_name
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint
from whimbrel.runner.checkpoint.swap import (
    all_foreign_keys,
    expect_equal,
    lines_about,
    merged_views,
)
from whimbrel.runner.checkpoint.transplant import describe_table, lines_of
from whimbrel.runner.sessions import own

Facts = Mapping[str, Any]


def finish(checkpoint: Checkpoint, desk: Desk) -> None:
    """Do what is left to do; what was done before is seen and left alone.

    Raises:
        HeldError: In the end something is not what it was.
        ServerError: As the server says; it is tried again.
    """
    for each in all_foreign_keys(checkpoint):
        if not each["definition"].endswith((" NOT VALID", " NOT ENFORCED")):
            _alone(desk, dependents.validate(each))
    views = merged_views([each.manifest["views"] for each in checkpoint.tables])
    late = [each for each in views if words.is_late(each, views)]
    for number, view in enumerate(late):
        if not _is_equal(view, desk):
            _build_again(view, desk, f"{checkpoint.tables[0].kept}_v{number}")
    for number, view in reversed(list(enumerate(late))):
        if view["table"]["kind"] == "m":
            _drop_old(desk, f"{checkpoint.tables[0].kept}_v{number}")
    for covered in checkpoint.tables:
        _alone(desk, f"ANALYZE {quote_name(covered.schema, covered.table)}")
    expect_equal(desk.session, checkpoint, frozenset())


def _alone(desk: Desk, *statements: str) -> None:
    with desk.session.transaction():
        desk.guard(desk.session)
        for each in statements:
            own(desk.session, each)


def _now(view: Facts, desk: Desk) -> dict[str, Any]:
    table = view["table"]
    if not own(desk.session, words.HAS_RELATION, table["schema"], table["name"]):
        return {}
    return describe_table(desk.session, table["schema"], table["name"])


def _is_equal(view: Facts, desk: Desk) -> bool:
    now = _now(view, desk)
    label = f"{view['table']['schema']}.{view['table']['name']}"
    about = tuple(lines_about(label))
    there = {each for each in now.get("fingerprint", ()) if each.startswith(about)}
    return there == {each for each in lines_of(view) if each.startswith(about)}


def _build_again(view: Facts, desk: Desk, name: str) -> None:
    now = _now(view, desk)
    if view["table"]["kind"] != "m":
        may_stay = bool(now) and dependents.same_columns(view, now)
        drop = [dependents.drop_view(now)] if now and not may_stay else []
        make = dependents.create_view(view, replace=may_stay)
        dress = dependents.dress(view, now if may_stay else {})
        _alone(desk, *drop, make, *dress)
        return
    _alone(desk, *_with_rows(view, now, desk.ledger.schema, name))


def _with_rows(view: Facts, now: Facts, ledger: str, name: str) -> list[str]:
    """Return the statements that put a new materialised view into an old one's place.

    Its rows and indexes are made first: the old one is read until the last moment.
    """
    new, schema = f"{name}n", view["table"]["schema"]
    own_schema, called = quote_identifier(schema), quote_identifier(view["table"]["name"])
    made = [dependents.create_view(view, replace=False, place=(ledger, new))]
    for number, each in enumerate(view["indexes"]):
        unique = "UNIQUE " if each["unique"] else ""
        index = quote_identifier(f"{new}_i{number}")
        made.append(f"CREATE {unique}INDEX {index} ON {quote_name(ledger, new)} {each['tail']}")
    made.append(f"ANALYZE {quote_name(ledger, new)}")
    if now and now["table"]["kind"] != "m":
        made.append(dependents.drop_view(now))
    elif now:
        made += [
            f"ALTER INDEX {own_schema}.{quote_identifier(each['name'])} RENAME TO"
            f" {quote_identifier(f'{name}_i{number}')}"
            for number, each in enumerate(now["indexes"])
        ]
        made.append(
            f"ALTER MATERIALIZED VIEW {own_schema}.{called} RENAME TO {quote_identifier(name)}"
        )
        made.append(
            f"ALTER MATERIALIZED VIEW {own_schema}.{quote_identifier(name)} SET SCHEMA"
            f" {quote_identifier(ledger)}"
        )
    made.append(f"ALTER MATERIALIZED VIEW {quote_name(ledger, new)} SET SCHEMA {own_schema}")
    made.append(f"ALTER MATERIALIZED VIEW {own_schema}.{quote_identifier(new)} RENAME TO {called}")
    for number, each in enumerate(view["indexes"]):
        made.append(
            f"ALTER INDEX {own_schema}.{quote_identifier(f'{new}_i{number}')} RENAME TO"
            f" {quote_identifier(each['name'])}"
        )
        made += dependents.comment(
            f"INDEX {own_schema}.{quote_identifier(each['name'])}", each, dependents.NOTHING
        )
    return [*made, *dependents.dress(view, {})]


def _drop_old(desk: Desk, name: str) -> None:
    if own(desk.session, words.HAS_RELATION, desk.ledger.schema, name):
        _alone(desk, f"DROP MATERIALIZED VIEW {quote_name(desk.ledger.schema, name)}")
