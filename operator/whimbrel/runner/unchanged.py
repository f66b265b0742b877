"""A project that is as its last run left it: then not even `inspect` of the tool is started."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

from whimbrel.model.errors import RefusedError, TransientError, WhimbrelError
from whimbrel.model.order import Order
from whimbrel.model.plan import RunnerPlan, Segment
from whimbrel.model.steps import Direction
from whimbrel.planning.build import Source, shown
from whimbrel.planning.tools.image_digest import ImageDigest, words
from whimbrel.planning.tools.project import Look, Project
from whimbrel.planning.tools.registry import foreign_tool
from whimbrel.runner.bench import Bench, SeenImage
from whimbrel.runner.bookkeeping import read_revisions
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.notes import Kind, forget_note, has_notes, read_note, write_note
from whimbrel.runner.project import read_source, reading_place
from whimbrel.runner.run_tool import ToolPlace, same, wrapper_text
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.session import Manners
from whimbrel.runner.sessions import open_session
from whimbrel.runner.surroundings import Surroundings


@dataclass(frozen=True)
class Found:
    """What there is to carry out.

    Attributes:
        source: As `read_source` returns it; empty where nothing has changed.
        unchanged: What the ledger says of the last run, where nothing has changed since.
        seen: What may be remembered of this run, where that is known.
        refused: Why there is no source, in a run that had begun before; else None.
    """

    source: Source
    unchanged: SeenImage | None = None
    seen: SeenImage | None = None
    refused: RefusedError | None = None


def find_source(
    order: Order, place: Surroundings, clean: Callable[[str], str], manners: Manners
) -> Found:
    """Return what the project holds, or that it is as its last run left it.

    Raises:
        RefusedError: The image or the project cannot be used.
        TransientError: The tool's container is not there.
    """
    if place.tool is None or order.segment is not Segment.MIGRATE:
        return Found(read_source(order, place, clean, manners))
    where = reading_place(order, place, clean, manners)
    known = None if order.retry else _read_known(order, place, manners)
    if known is not None and known.digest == digest_now(where, place, known.look)[0]:
        place.report("neither the image nor the database has changed: the tool is not started")
        return Found({}, unchanged=known)
    start = time.time()
    source = read_source(order, place, clean, manners)
    if not isinstance(source, Project) or source.look is None:
        return Found(source)
    digest, settled = digest_now(where, place, source.look)
    # Read after `inspect`, which tells what to read: good where nothing of it changed meanwhile.
    if not digest or settled >= start:
        return Found(source)
    return Found(source, seen=SeenImage(digest, source.look, ()))


def still_unchanged(bench: Bench, known: SeenImage) -> RunnerPlan:
    """Return the plan that has nothing to do, after another look under the lock.

    Raises:
        TransientError: The database is not any more as it was before the lock was taken.
    """
    spec, ledger = bench.order.spec, bench.holding.ledger
    rows = read_revisions(ledger.session, spec)
    if _read_image(ledger, bench.order) != known or not same(rows, known.rows):
        raise TransientError(
            "DatabaseChanged", "somebody else migrates this database; a new plan is made"
        )
    return RunnerPlan(Direction.UP, shown(spec, rows))


def remember_image(bench: Bench, seen: SeenImage | None) -> None:
    """Keep what was seen of the image, as the base of the next run's comparison."""
    if bench.unchanged is not None:
        return
    if seen is None:
        distrust_image(bench)
        return
    rows = read_revisions(bench.holding.session, bench.order.spec)
    image = [seen.digest, seen.look.files, seen.look.folders, rows]
    write_note(bench.holding.ledger, Kind.IMAGE, _key(bench.order), image)


def distrust_image(bench: Bench) -> None:
    """Let the next run start the tool, whatever becomes of this one."""
    if bench.order.spec.migrations.tool.is_foreign:
        forget_note(bench.holding.ledger, Kind.IMAGE, _key(bench.order))


def digest_now(where: ToolPlace, place: Surroundings, look: Look) -> tuple[str, float]:
    """Return the digest, and when it had settled; "" where not all can be read."""
    migrations = where.spec.migrations
    if any(each.value_from is not None for each in migrations.env):
        return "", 0.0
    seen = ImageDigest()
    if problem := where.tool.look(migrations.working_dir or "", tuple(words(look)), seen):
        where.report(f"what the image holds is not compared with the last run: {problem}")
        return "", 0.0
    wrapper = wrapper_text(foreign_tool(migrations.tool).started)
    return seen.over(where.spec, wrapper, repr(replace(place.target, password=""))), seen.settled


def _read_known(order: Order, place: Surroundings, manners: Manners) -> SeenImage | None:
    """Return what the ledger says, if the bookkeeping is as it was then; reads only."""
    try:
        with closing(open_session(place.target, manners)) as session:
            ledger = Ledger(session, order.spec.database.ledger_schema)
            known = _read_image(ledger, order) if has_notes(ledger) else None
            rows = read_revisions(session, order.spec) if known else ()
    except (*SERVER_ERRORS, WhimbrelError):
        return None  # said where the database is needed, with its reason
    return known if known is not None and same(rows, known.rows) else None


def _read_image(ledger: Ledger, order: Order) -> SeenImage | None:
    note = read_note(ledger, Kind.IMAGE, _key(order))
    if note is None:
        return None
    files, folders, rows = map(tuple, note[1:])
    return SeenImage(note[0], Look(files, folders), rows)


def _key(order: Order) -> str:
    return f"{order.cluster}/{order.namespace}/{order.name}/{order.uid}"
