"""Whimbrel's checkpoint on MariaDB in a process of its own, which may be killed at any word.

`python -m tests.loss.mariadb.engine ASSIGNMENT` does one part of a round (open, restore, discard)
and prints what came of it as one line of JSON.
"""

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from tests.loss.mariadb.mutants import MUTANTS
from whimbrel.model.errors import HeldError, RefusedError, TransientError, WhimbrelError
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.engine import ENGINES
from whimbrel.runner.checkpoint.manifest import read_checkpoint, read_conflicts
from whimbrel.runner.checkpoint.open import Wanted
from whimbrel.runner.ledger import Ledger, install_ledger
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.session import Manners
from whimbrel.runner.sessions import open_session
from whimbrel.runner.urls import parse_target

NAME = "whimbrel:loss"
ENGINE = ENGINES["mariadb"]
Answer = dict[str, Any]


@dataclass(frozen=True)
class Assignment:
    """What one process is told; `mutant` is a name of `MUTANTS`, or ""."""

    url: str
    part: str
    login: str
    tables: tuple[str, ...]
    mutant: str = ""
    run: str = "run-1"

    def text(self) -> str:
        """Return it as the process reads it."""
        return json.dumps(asdict(self))


def _open(told: Assignment, desk: Desk) -> Answer:
    install_ledger(desk.ledger)
    tables = tuple(("", each) for each in told.tables)
    wanted = Wanted(told.run, told.run, tables, told.login, 3600.0, 2**30)
    opened = ENGINE.open(wanted, desk)
    return {"tables": [each.table for each in opened.tables]}


def _restore(told: Assignment, desk: Desk) -> Answer:
    found = read_checkpoint(desk.ledger, told.run)
    assert found is not None
    ENGINE.restore(found, desk, lambda _session: None)
    tables = {each.number: each.table for each in found.tables}
    conflicts = [
        [tables[each.number], each.key, each.kind, each.column, each.value]
        for each in read_conflicts(desk.ledger, told.run)
    ]
    return {"conflicts": conflicts}


def _discard(told: Assignment, desk: Desk) -> Answer:
    found = read_checkpoint(desk.ledger, told.run)
    assert found is not None
    ENGINE.discard(found, desk)
    return {}


PARTS: dict[str, Callable[[Assignment, Desk], Answer]] = {
    "open": _open,
    "restore": _restore,
    "discard": _discard,
}
_ENDS = {RefusedError: "refused", HeldError: "held", TransientError: "again"}


def main(text: str) -> Answer:
    """Do a part and return what came of it."""
    told = Assignment(**json.loads(text))
    if told.mutant:
        MUTANTS[told.mutant]()
    target, manners = parse_target(told.url), Manners(NAME, 1.0)
    said: list[str] = []
    try:
        with open_session(target, manners) as session:
            ledger = Ledger(session, "whimbrel")
            another = partial(open_session, target, manners)
            desk = Desk(ledger, another, lambda _: None, said.append, threading.Event())
            return {"end": "done", "said": said} | PARTS[told.part](told, desk)
    except WhimbrelError as error:
        end = _ENDS.get(type(error), "failed")
        return {"end": end, "reason": error.reason, "message": error.message, "said": said}
    except SERVER_ERRORS as error:
        return {"end": "again", "reason": type(error).__name__, "message": str(error)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1])) + "\n")
