"""Deliberate defects of the engine on MariaDB, put in place in its own process."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from whimbrel.planning.dialects import (
    mariadb_checkpoint as words,
    mariadb_checkpoint_capture as capture,
    mariadb_checkpoint_copy as copying,
    mariadb_checkpoint_replay as replaying,
)
from whimbrel.runner.checkpoint.mariadb import open as opening, orphans, restore
from whimbrel.runner.checkpoint.mariadb.hand import hand


def text(module: Any, name: str, old: str, new: str, only: str = "") -> Callable[[], None]:
    """Return what changes the text that a function makes; of triggers, that of one event."""

    def put() -> None:
        plain = getattr(module, name)

        def changed(*given: Any, **named: Any) -> str:
            found: str = plain(*given, **named)
            if only and only not in given:
                return found
            assert old in found, f"there is no {old!r} in what {name} makes"
            return found.replace(old, new)

        setattr(module, name, changed)

    return put


@dataclass
class _Untaken:
    """What stands for tables that nobody holds."""

    work: Any
    told: Any

    def let_through(self) -> None:
        self.work.run(words.make_name(self.told.names.go))
        self.work.run(self.told.statement)

    def cancel(self) -> None:
        """There is nothing to end."""

    @property
    def owner(self) -> Any:
        return self.work

    def own_children(self) -> None:
        """Others are there all the while."""


def _nobody_waits() -> None:
    """Let the application write until the rename, which comes after the last replay."""

    @contextlib.contextmanager
    def taken(told: Any, alone: Any, desk: Any) -> Iterator[_Untaken]:
        with hand(desk) as work:
            alone()
            yield _Untaken(work, told)

    restore.taken = taken


def _no_keys() -> None:
    """Forget the foreign keys."""
    restore.link_copies = restore.settle = lambda *_: None
    restore.unsettled = lambda *_: ""


def _not_last() -> None:
    plain, seen = restore.catch_up, []

    def catch_up(checkpoint: Any, desk: Any, session: Any, *, until: int) -> None:
        if until:
            plain(checkpoint, desk, session, until=until)
        seen.append(until)

    restore.catch_up = catch_up
    restore._expect_nothing_slipped = lambda *_: None


def _copy_first() -> None:
    """Copy before the writes are captured."""
    plain_capture = opening._capture
    opening._capture = lambda *_: None
    done: list[int] = []

    def copy(begun: Any, covered: Any, desk: Any, session: Any) -> None:
        subject = opening.subject_of(begun, covered)
        session.run(copying.make_clone(subject.clone, covered.table))
        session.run(capture.make_journal(subject))
        session.run(copying.copy_rows(subject))
        session.run(words.drop_tables([subject.journal]))
        time.sleep(1.0)  # the application writes on
        done.append(covered.number)
        if len(done) == len(begun.tables):
            plain_capture(begun, desk, session)

    opening._copy = copy


MUTANTS: dict[str, Callable[[], None]] = {
    "the copy comes before the capture": _copy_first,
    "deletes are not replayed": text(replaying, "replay", ".op = 'D'", ".op = 'no'"),
    "inserts are not replayed": text(replaying, "replay", ".op = 'I'", ".op = 'no'"),
    "updates are not replayed": text(replaying, "replay", ".op = 'U'", ".op = 'no'"),
    "the first writer wins": text(replaying, "replay", "ORDER BY seq", "ORDER BY seq DESC"),
    "the whole row is put back": text(
        capture, "make_trigger", "IF NOT (OLD.", "IF 1 OR NOT (OLD.", "UPDATE"
    ),
    "the migration is taken for the application": text(
        capture, "make_trigger", "(USER()))) <> '", "(USER()))) <> 'x"
    ),
    "nobody holds the tables": _nobody_waits,
    "the last replay is left out": _not_last,
    "keys are forgotten": _no_keys,
    "orphans stay": text(orphans, "count_orphans", "COUNT(*)", "0 * COUNT(*)"),
    "numbers begin anew": text(words, "count_on", "AUTO_INCREMENT = ", "AUTO_INCREMENT = 1 -- "),
    "new columns are forgotten": text(replaying, "unmapped", "IS NOT NULL", "IS NULL"),
}
