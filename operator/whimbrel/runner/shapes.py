"""The shape of the catalogue around runs and starts of a tool: what is kept, what is said of it."""

from collections.abc import Sequence

from whimbrel.planning.dialects.fates import Fate
from whimbrel.planning.shape import Orders, Parts, Shape, changed, left_behind, reordered, touched
from whimbrel.planning.tools.foreign import relations
from whimbrel.planning.tools.registry import foreign_tool
from whimbrel.runner.bench import Bench
from whimbrel.runner.catalog import read_shape
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.notes import Kind, forget_note, read_note, write_note
from whimbrel.runner.records import ToolRun, read_tool_runs, record_tool_run
from whimbrel.runner.server_errors import SERVER_ERRORS, read_error
from whimbrel.runner.ways import taken_back


def warn_of_foreign_change(bench: Bench) -> None:
    """Say what has changed since the last run of this database; it stops nothing."""
    ledger = bench.holding.ledger
    note = read_note(ledger, Kind.SHAPE)
    now = _readable_shape(ledger) if note else None
    if now is None or (last := Shape(*note)) == now:
        return
    if told := changed(last, now):
        bench.findings.warnings.append(
            f"ForeignChange: since the last run somebody else has changed {told}"
        )
    forget_note(ledger, Kind.SHAPE)


def new_shape(bench: Bench) -> Shape | None:
    """Return what the catalogue is like at the end of a run, if it may have changed in it.

    Not to be asked inside a transaction: what stops the reading would end that too.
    """
    ledger = bench.holding.ledger
    return _readable_shape(ledger) if read_note(ledger, Kind.SHAPE) is None else None


def remember_shape(ledger: Ledger, shape: Shape | None) -> None:
    """Keep what the catalogue is like at the end of a run, where that is new and known."""
    if shape is not None:
        write_note(ledger, Kind.SHAPE, "", [shape.version, shape.whole, shape.parts])


def _readable_shape(ledger: Ledger) -> Shape | None:
    """Return the shape; None where somebody else's lock is in the way of reading it."""
    try:
        return read_shape(ledger.session, ledger.schema)
    except SERVER_ERRORS as error:
        if read_error(error).fate is not Fate.HEALS:
            raise
    return None


def record_start(ledger: Ledger, row: ToolRun, before: Shape) -> None:
    """Record a start of a tool; until its end is read back with all that was there before."""
    with ledger.session.transaction():
        record_tool_run(ledger, row)
        note = [before.version, before.parts, before.orders]
        write_note(ledger, Kind.TOUCHED, _key(row), note)


def record_end(ledger: Ledger, row: ToolRun, after: Shape) -> None:
    """Record the end of a start, with what the relations that it touched were like before."""
    with ledger.session.transaction():
        version, before, orders = _touched(ledger, row)
        record_tool_run(ledger, row)
        known = version == after.version and before and after.parts
        told = [version, touched(before, after.parts), reordered(orders, after.orders)]
        write_note(ledger, Kind.TOUCHED, _key(row), told if known else ["", {}, {}])


def _touched(ledger: Ledger, row: ToolRun) -> tuple[str, Parts, Orders]:
    """Return what relations were like before a start, and the version of that; "" for unknown."""
    version, parts, *orders = read_note(ledger, Kind.TOUCHED, _key(row)) or ("", {})
    return version, parts, orders[0] if orders else {}  # earlier notes have none


def _key(row: ToolRun) -> str:
    return f"{row.run}/{row.segment}/{row.attempt}/{row.step}"


def warn_of_what_is_left(bench: Bench) -> None:
    """Say what is not as it was before the runs that a way back has just taken back."""
    runs = read_tool_runs(bench.holding.ledger, bench.order.spec)
    left, order = left_by(bench, taken_back([run for run in runs if run.after is not None]))
    if left:
        bench.findings.warnings.append(
            f"NotAsBefore: after the way back this is not as it was before the way up: {left}"
        )
    if order:
        bench.findings.warnings.append(
            f"ColumnOrder: after the way back the columns are as before, in another order: {order}"
        )


def left_by(bench: Bench, starts: Sequence[ToolRun]) -> tuple[str | None, str]:
    """Return what is not as before these starts, and where the order of columns alone is not.

    Named; None where that cannot be told.
    """
    ledger = bench.holding.ledger
    now = tool_shape(bench)
    known = [_touched(ledger, each) for each in starts]
    if not now.parts or {version for version, _, _ in known} != {now.version}:
        return None, ""
    return left_behind([(parts, orders) for _, parts, orders in known], now)


def tool_shape(bench: Bench) -> Shape:
    """Return the shape without what the tool makes beside its migrations."""
    ledger = bench.holding.ledger
    spec = bench.order.spec
    besides = relations(foreign_tool(spec.migrations.tool), spec)
    return read_shape(ledger.session, ledger.schema, besides)
