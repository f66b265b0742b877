"""Everything that the steps of one attempt work with."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.order import Order
from whimbrel.planning.build import Source
from whimbrel.planning.tools.project import Look
from whimbrel.runner.facts import read_facts
from whimbrel.runner.findings import Findings
from whimbrel.runner.holding import Holding
from whimbrel.runner.kept_table import enter, find_kept
from whimbrel.runner.lock import assert_step_may_run
from whimbrel.runner.session import Session
from whimbrel.runner.step_work import Work
from whimbrel.runner.surroundings import Surroundings
from whimbrel.runner.transactions import await_end

_PROVE_SECONDS = 15.0
_CLEAR_SECONDS = 20.0  # after a stop; the Pod is killed 30 s after it


@dataclass(frozen=True)
class SeenImage:
    """What the last good run of an object saw.

    Attributes:
        digest: Over all that decides what the image's project holds.
        look: What it read for that besides the working directory.
        rows: What the tool's table showed at its end.
    """

    digest: str
    look: Look
    rows: tuple[str, ...]


@dataclass(frozen=True)
class Bench:
    """One attempt at work.

    Attributes:
        source: File texts by name, or the project that the image holds.
        clean: Takes secrets out of any text.
        refused: Why the project cannot be used, in a run that had begun before; else None.
        unchanged: What the last run left, where neither image nor database has changed since.
        tool_lives: Set from the start of a foreign tool until no process and no session of it is
            left; whatever ends the attempt meanwhile leaves it open in the ledger.
        spare: Backend pids of further sessions of ours, which are no tool's.
    """

    order: Order
    place: Surroundings
    holding: Holding
    findings: Findings
    source: Source
    clean: Callable[[str], str]
    refused: RefusedError | None = None
    unchanged: SeenImage | None = None
    tool_lives: threading.Event = field(default_factory=threading.Event)
    spare: list[int] = field(default_factory=list)

    def facts(self) -> Facts:
        """Return what the database shows now."""
        place = self.findings.database
        facts = read_facts(self.holding.ledger, self.order, place, has_ledger=True)
        self.findings.newest_image = facts.newest_image
        return facts

    def work(self, facts: Facts) -> Work:
        """Return what the steps with SQL files need."""
        holding, spec = self.holding, self.order.spec
        kept = None if spec.migrations.tool.is_foreign else find_kept(holding.session, spec)
        commits = holding.session.dialect.commits_ddl

        def guard(session: Session) -> None:
            assert_step_may_run(holding.ledger, holding.attempt.epoch)
            enter(kept, session, may_create=not commits)

        if commits and kept is not None:
            with holding.session.transaction():
                guard(holding.session)
            enter(kept, holding.session)

        return Work(
            ledger=holding.ledger,
            run=self.order.run,
            owner=self.order.owner(),
            image=self.order.tool_image(),
            history=spec.migrations.history,
            keep_salvage=spec.rollback.keep_salvage,
            guard=guard,
            prove=lambda xid: await_end(holding.another_session, xid, patience=_PROVE_SECONDS),
            kept=kept,
            unfinished=facts.unfinished,
            started=facts.started,
            patiently=holding.watchdog.patiently,
            held_back=lambda: holding.interrupts.held_back(_CLEAR_SECONDS),
            tell=self.place.report,
        )
