"""What a covered table looks like, to build it again and to prove that it was built right."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from whimbrel.model.errors import RefusedError
from whimbrel.planning.dialects import postgresql_transplant as words
from whimbrel.runner.postgresql_session import postgres
from whimbrel.runner.session import Row, Session
from whimbrel.runner.sessions import own

# Kind of a row of the question, and the member that holds such rows.
_LISTS: Final = {
    "column": "columns",
    "constraint": "constraints",
    "index": "indexes",
    "trigger": "triggers",
    "rule": "rules",
    "policy": "policies",
    "statistics": "statistics",
    "publication": "publications",
    "sequence": "sequences",
    "inbound": "inbound",
}
# Facts that are kept and not compared: they move when nothing has changed, or follow from others.
_NOT_COMPARED: Final = frozenset(
    {
        "last",
        "validated",
        "tail",
        "target",
        "depth",
        "base",
        "oid",
        "reads",
        "is_scalar",
        "on_delete",
        "on_update",
        "delete_sets",
        "again",
    }
)


def describe_table(session: Session, schema: str, table: str) -> dict[str, Any]:
    """Return all that the catalogue says of a table and of what hangs on it, ready for JSON.

    Members: `table`, `columns` (in their order), `constraints`, `indexes`, `triggers`, `rules`,
    `policies`, `statistics`, `publications`, `sequences`, `inbound`; `views`, each with the same
    members, those that others read before those; `fingerprint`, the lines that are compared;
    `unsupported`, sentences of what could not be built again, for whoever opens a checkpoint; and
    `asked`, of what can be where the relation with this oid is covered too.

    Raises:
        RefusedError: There is no such table.
    """
    question = words.describe_table(session.version())
    return _described(session, question, schema, table)


def describe_again(session: Session, schema: str, table: str) -> dict[str, Any]:
    """Return the same of a table that can be covered: `unsupported` is not asked.

    Raises:
        RefusedError: There is no such table.
    """
    question = words.describe_again(session.version())
    return _described(session, question, schema, table)


def describe_planned(session: Session, schema: str, table: str) -> dict[str, Any]:
    """Return the same as `describe_again`, sooner: half of what that takes is its plan.

    In a transaction whose search path is pinned.
    """
    question = words.describe_again(session.version())
    rows = postgres(session).ask_planned("whimbrel_describe", question, schema, table)
    return _read(rows, schema, table)


def _described(session: Session, question: str, schema: str, table: str) -> dict[str, Any]:
    return _read(own(session, question, schema, table), schema, table)


def _read(rows: list[Row], schema: str, table: str) -> dict[str, Any]:
    relations = _relations(rows)
    if not relations:
        raise RefusedError("TableMissing", f"there is no table {schema}.{table} in this database")
    first, *views = relations
    found = {**first, "views": views}
    unsupported = {name for kind, _, name, _ in rows if kind == "unsupported"}
    asked = sorted((name, facts["by"]) for kind, _, name, facts in rows if kind == "asked")
    more = {"unsupported": sorted(unsupported), "asked": asked}
    return {**found, "fingerprint": list(lines_of(found)), **more}


def differences(
    manifest: Mapping[str, Any], now: Mapping[str, Any], pending: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Return what was and is not, and what is and was not, one line each; () where all is equal.

    Args:
        manifest: What `describe_table` said then.
        now: What it says now.
        pending: Beginnings of lines that become equal later (`column app.users.id`), left out.
    """
    before, after = set(manifest["fingerprint"]), set(now["fingerprint"])
    lines = [f"lost: {line}" for line in before - after]
    lines += [f"new: {line}" for line in after - before]
    return tuple(sorted(line for line in lines if not _is_pending(line, pending)))


def _is_pending(line: str, pending: frozenset[str]) -> bool:
    return any(line.partition(": ")[2].startswith(each) for each in pending)


def _relations(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the table and then its views, those that others read first."""
    lists: dict[int, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    relations = {}
    for kind, oid, name, facts in rows:
        each = {"name": name, **facts}
        if kind == "relation":
            relations[oid] = each | {"oid": oid}
        elif kind in _LISTS:
            lists[oid][_LISTS[kind]].append(each)
    found = [
        {"table": facts, **{name: _sorted(lists[oid][name]) for name in _LISTS.values()}}
        for oid, facts in relations.items()
    ]
    return sorted(found, key=lambda each: (each["table"]["depth"], each["table"]["name"]))


def _sorted(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda each: (each.get("place", 0), each.get("schema"), each["name"]))


def lines_of(found: Mapping[str, Any]) -> Iterable[str]:
    """Yield each fact as a line: kind, relation, name, the rest as JSON with sorted keys."""
    for relation in (found, *found.get("views", ())):
        table = relation["table"]
        label = f"{table['schema']}.{table['name']}"
        yield _line("relation", label, table)
        for kind, member in _LISTS.items():
            for item in relation[member]:
                yield _line(kind, f"{label}.{item['name']}", item)


def _line(kind: str, name: str, facts: Mapping[str, Any]) -> str:
    compared = {key: value for key, value in facts.items() if key not in _NOT_COMPARED}
    return f"{kind} {name} {json.dumps(compared, sort_keys=True, separators=(',', ':'))}"
