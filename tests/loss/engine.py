"""Whimbrel's own checkpoint in a process of its own, which may be killed at any word it says.

`python -m tests.loss.engine ASSIGNMENT` does one part of a round (open, expect, restore, discard)
and prints what came of it as one line of JSON.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from tests.loss.mutants import MUTANTS, Mutant
from whimbrel.model.errors import HeldError, RefusedError, TransientError, WhimbrelError
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.discard import discard
from whimbrel.runner.checkpoint.manifest import (
    Checkpoint,
    Mapping,
    read_checkpoint,
    read_conflicts,
)
from whimbrel.runner.checkpoint.open import Wanted, open_checkpoint
from whimbrel.runner.checkpoint.restore import restore
from whimbrel.runner.checkpoint.watch import expect_capture
from whimbrel.runner.ledger import Ledger, install_ledger
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.session import Manners, Session
from whimbrel.runner.sessions import open_session, own
from whimbrel.runner.urls import parse_target

NAME = "whimbrel:loss"  # application_name of all sessions of the engine


@dataclass(frozen=True)
class Assignment:
    """What one process is told.

    Attributes:
        part: A name of `PARTS`.
        mappings: Table, old and new name.
        extra: Statements that take away what the migration left outside of the tables.
        mutant: A name of `MUTANTS`, or "".
    """

    url: str
    part: str
    run: str
    login: str
    tables: tuple[tuple[str, str], ...]
    mappings: tuple[tuple[str, str, str], ...] = ()
    extra: tuple[str, ...] = ()
    on_conflict: str = "Record"
    keep_for: float = 3600.0
    max_journal: int = 2**30
    mutant: str = ""

    def text(self) -> str:
        """Return it as the process reads it."""
        return json.dumps(asdict(self))

    def wanted(self) -> Wanted:
        """Return the checkpoint that is asked for."""
        return Wanted(
            id=self.run,
            run=self.run,
            tables=tuple((schema, name) for schema, name in self.tables),
            login=self.login,
            keep_for=self.keep_for,
            max_journal=self.max_journal,
            on_conflict=self.on_conflict,
            mappings=tuple(Mapping(*each) for each in self.mappings),
        )


Answer = dict[str, Any]


def _open(told: Assignment, desk: Desk) -> Answer:
    install_ledger(desk.ledger)
    opened = open_checkpoint(told.wanted(), desk)
    return {"tables": [str(each) for each in opened.tables]}


def _found(told: Assignment, desk: Desk) -> Checkpoint:
    found = read_checkpoint(desk.ledger, told.run)
    assert found is not None, "there is no checkpoint"
    return found


def _expect(told: Assignment, desk: Desk) -> Answer:
    expect_capture(_found(told, desk), desk.session)
    return {}


def _restore(told: Assignment, desk: Desk) -> Answer:
    checkpoint = _found(told, desk)

    def extra(session: Session) -> None:
        for statement in told.extra:
            own(session, statement)

    restored = restore(checkpoint, desk, extra)
    tables = {each.number: [each.schema, each.table] for each in checkpoint.tables}
    conflicts = [
        [tables[each.number], each.key, each.kind, each.column, each.value]
        for each in read_conflicts(desk.ledger, told.run)
    ]
    return {"conflicts": conflicts, "count": restored.conflicts, "kept": restored.kept}


def _discard(told: Assignment, desk: Desk) -> Answer:
    discard(_found(told, desk), desk)
    return {"state": _found(told, desk).state.value}


PARTS: dict[str, Callable[[Assignment, Desk], Answer]] = {
    "open": _open,
    "expect": _expect,
    "restore": _restore,
    "discard": _discard,
}
_ENDS = {RefusedError: "refused", HeldError: "held", TransientError: "again"}


@contextmanager
def a_desk(url: str) -> Iterator[Desk]:
    target, manners = parse_target(url), Manners(NAME, 0.2)
    with open_session(target, manners) as session:
        yield Desk(
            Ledger(session, "whimbrel"),
            lambda: open_session(target, manners),
            lambda _session: None,
            lambda _line: None,
            threading.Event(),
        )


def main(text: str) -> Answer:
    """Do a part and return what came of it."""
    told = Assignment(**json.loads(text))
    mutant: Mutant | None = MUTANTS[told.mutant] if told.mutant else None
    if mutant is not None:
        mutant.apply()
    try:
        with a_desk(told.url) as desk:
            answer = {"end": "done"} | PARTS[told.part](told, desk)
    except WhimbrelError as error:
        end = _ENDS.get(type(error), "failed")
        answer = {"end": end, "reason": error.reason, "message": error.message}
    except SERVER_ERRORS as error:
        answer = {"end": "again", "reason": type(error).__name__, "message": str(error)}
    return answer | {"changed": mutant.changes if mutant is not None else 0}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1])) + "\n")
