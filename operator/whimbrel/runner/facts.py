"""Reads what a plan stands on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from whimbrel.model.facts import Applied, Facts
from whimbrel.model.order import Order
from whimbrel.model.plan import Segment
from whimbrel.model.steps import CatalogObject
from whimbrel.planning.build import shown
from whimbrel.planning.tools.registry import file_tool, project_of
from whimbrel.runner.bookkeeping import read_revisions
from whimbrel.runner.catalog import Identity, read_foreign_keys, read_identities
from whimbrel.runner.kept_table import find_kept, with_kept
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.notes import Kind, has_notes, read_note
from whimbrel.runner.records import (
    ToolRun,
    half_applied,
    read_applied,
    read_rolled_back,
    read_tool_runs,
    steps_started,
)
from whimbrel.runner.runs import read_runs, same_object
from whimbrel.runner.ways import before_newest_run, ways_up


def read_facts(ledger: Ledger, order: Order, database: str, *, has_ledger: bool) -> Facts:
    """Return what the database shows now; nothing is written.

    Args:
        ledger: Where the ledger is, or would be.
        order: Names history, bookkeeping and owner.
        database: Name of the database as the server says it.
        has_ledger: False in a look at a database where nothing of ours was ever installed.
    """
    spec = order.spec
    version = ledger.session.version()
    identities = read_identities(ledger.session, ledger.schema)
    history = spec.migrations.history
    rolled_back = read_rolled_back(ledger, history) if has_ledger and not order.retry else ()
    known = Facts(
        database,
        version,
        catalog=frozenset(identities),
        dialect=ledger.session.dialect.name,
        rolled_back=frozenset(rolled_back),
        started=steps_started(ledger) if has_ledger else frozenset(),
    )
    if not spec.migrations.tool.is_foreign:
        rows = read_applied(ledger, history) if has_ledger else ()
        half = half_applied(ledger, history) if has_ledger else ()
        kept = find_kept(ledger.session, spec)
        keys = read_foreign_keys(ledger.session, ledger.schema)
        known = replace(known, applied=rows, half=half, foreign_keys=keys)
        known = replace(known, newest_image=_newest_image(rows))
        known = with_kept(known, kept, ledger.session, order)
        # A retry lifts what would be held for a part that stays: a person has looked at it.
        known = replace(known, half=() if order.retry else half)
        return _with_last_run(known, order.owner())
    runs = read_tool_runs(ledger, spec) if has_ledger else ()
    ended = [run for run in runs if run.after is not None]
    # A retry lifts what would be refused for an edited file: a person has looked at it.
    known_files = has_ledger and not order.retry and has_notes(ledger)
    digests = (read_note(ledger, Kind.DIGESTS, project_of(spec)) or {}) if known_files else {}
    seen = replace(known, revisions=read_revisions(ledger.session, spec), digests=digests)
    newer = _brought_by_newer(ended, order.tool_image())
    names = {each: name for name, each in identities.items()}
    known = replace(seen, newer=newer, newest_image=_newest_image(runs))
    return _with_added(replace(known, reached=_reached(ledger, order, ended)), ended, names)


def _reached(ledger: Ledger, order: Order, ended: Sequence[ToolRun]) -> frozenset[str]:
    """Return the revisions that runs of this object came to, under whatever uid it had."""
    runs = read_runs(ledger) if ended else ()
    own = {run.id for run in runs if (run.namespace, run.name) == (order.namespace, order.name)}
    return frozenset(row for run in ended if run.run in own for row in run.after or ())


def _newest_image(rows: Sequence[Applied | ToolRun]) -> str:
    return next((row.image for row in reversed(rows) if row.image), "")


def run_that_left_nothing(ledger: Ledger, order: Order) -> str:
    """Return the newest way up of this object, if it ended early and left nothing; else ""."""
    ways = [run for run in read_runs(ledger) if same_object(order, run) and run.id != order.run]
    ups = [run for run in ways if run.purpose == Segment.MIGRATE]
    by_number = sorted(ups, key=lambda run: run.number, reverse=True)
    left = next((run for run in by_number if applied_something(ledger, order, run.id)), None)
    newest = by_number[0] if by_number else None
    # What an unfinished release left is what a person means, also after another try at it failed.
    over = newest is not None and newest.state in {"failed", "superseded"}
    if newest is None or not over or left is newest:
        return ""
    return newest.id if left is None or left.state == "done" else ""


def applied_something(ledger: Ledger, order: Order, run: str) -> bool:
    """Tell whether something that a run applied was not taken back since."""
    history = order.spec.migrations.history
    files = any(row.run == run for row in read_applied(ledger, history))
    ended = [each for each in read_tool_runs(ledger, order.spec) if each.after is not None]
    return files or any(way.run == run for way in ways_up(ended))


def revision_of(facts: Facts, order: Order) -> str:
    """Return the last applied revision, or "" for none."""
    if order.spec.migrations.tool.is_foreign:
        return shown(order.spec, facts.revisions)
    return file_tool(order.spec.migrations.tool).newest(facts.applied)


def _with_last_run(known: Facts, owner: str) -> Facts:
    mine = [row for row in known.applied if row.owner == owner]
    last = tuple(row.version for row in mine if row.run == mine[-1].run)
    return replace(known, last_run=last)


def _with_added(
    known: Facts, ended: list[ToolRun], names: Mapping[Identity, CatalogObject]
) -> Facts:
    """Add what the runs of a tool did; what they added is told under the names of today.

    And under the old ones: in a database that was restored from a dump nobody is who he was.
    """
    ways = ways_up(ended)
    added: dict[str, frozenset[CatalogObject]] = {}
    gone: dict[str, frozenset[CatalogObject]] = {}
    for run in ended:
        today = {names[each] for each in run.added.values() if each in names}
        lost = {each for each, identity in run.added.items() if identity not in names}
        for revision in run.after or ("",):
            added[revision] = added.get(revision, frozenset()) | today | frozenset(run.added)
            if run in ways:
                gone[revision] = gone.get(revision, frozenset()) | (lost - known.catalog)
    last = before_newest_run(ways, known.revisions)
    return replace(known, added=added, gone=gone, last_run=last)


def has_moved(ledger: Ledger, order: Order) -> bool:
    """Tell whether the tool's table is another one now than before this run."""
    if not order.spec.migrations.tool.is_foreign:
        return False
    runs = read_tool_runs(ledger, order.spec)
    mine = [each for each in runs if each.run == order.run]
    return bool(mine) and set(mine[0].before) != set(mine[-1].after or ())


def _brought_by_newer(ended: list[ToolRun], image: str) -> frozenset[str]:
    """Return the rows that came since the last run with an image, by runs with others."""
    brought: frozenset[str] = frozenset()
    for run in ended:
        came = frozenset(run.after or ()) - frozenset(run.before)
        brought = frozenset() if run.image == image else brought | came
    return brought
