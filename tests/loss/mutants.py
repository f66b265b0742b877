"""Deliberate defects of the engine, put in place in its own process: each must be found.

A mutant changes the text that a function returns, or takes the place of a function. It counts what
it changed: one that has nothing to change any more fails the test that uses it.
"""

import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from whimbrel.planning.dialects.postgresql_capture import JOURNAL_BYTES
from whimbrel.runner.sessions import own

_RUNNER: Final = "whimbrel.runner.checkpoint"
_PLANS: Final = "whimbrel.planning.checkpoint"
_REPLAY: Final = "whimbrel.planning.dialects.postgresql_replay"
_JOURNAL: Final = "whimbrel.planning.dialects.postgresql_journal"
_CAPTURE: Final = "whimbrel.planning.dialects.postgresql_capture"
_SOME: Final = 60.0  # seconds in which the application writes something
Count = Callable[[], None]


@dataclass
class Mutant:
    """A defect.

    Attributes:
        patches: Each gets a function to call whenever it changes something, and puts itself in
            place.
        part: In which part of a round it must have changed something.
        blind: The engine's own comparison of catalogues is switched off too: the checker's
            witness has to find it.
        changes: How often it changed something.
    """

    patches: tuple[Callable[[Count], None], ...]
    part: str = "restore"
    blind: bool = False
    changes: int = 0

    def apply(self) -> None:
        """Put it in place."""
        for patch in self.patches:
            patch(self._count)
        if self.blind:
            replaced(f"{_RUNNER}.transplant", "differences", lambda _: lambda *_a, **_k: ())(
                lambda: None
            )

    def _count(self) -> None:
        self.changes += 1


def replaced(
    module: str, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Callable[[Count], None]:
    """Return the patch that puts another function in a function's place, wherever it is used."""

    def patch(count: Count) -> None:
        original = getattr(importlib.import_module(module), name)
        instead = make(original)

        def counted(*args: Any, **words: Any) -> Any:
            count()
            return instead(*args, **words)

        _everywhere(original, counted)

    return patch


def without_text(module: str, name: str, old: str, new: str = "") -> Callable[[Count], None]:
    """Return the patch that changes what a function returns: text, or several texts."""

    def patch(count: Count) -> None:
        original = getattr(importlib.import_module(module), name)

        def changed(found: Any) -> Any:
            if not isinstance(found, str):
                return type(found)(changed(each) for each in found)
            if old in found:
                count()
            return found.replace(old, new)

        _everywhere(original, lambda *args, **words: changed(original(*args, **words)))

    return patch


def _everywhere(original: object, instead: object) -> None:
    """Put something in the place of what modules have imported by its name."""
    for module in [each for name, each in sys.modules.items() if name.startswith("whimbrel")]:
        for name, value in list(vars(module).items()):
            if value is original:
                setattr(module, name, instead)


def returns(value: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what `replaced` wants for a function that does nothing but return a value."""
    return lambda _: lambda *_args, **_words: value


def _forgetting_the_first_writes(copy: Callable[..., Any]) -> Callable[..., Any]:
    """What was written before the copy was taken, and while it was, is not in the journal."""

    def copy_first(desk: Any, checkpoint: Any, capture: Any) -> None:
        copy(desk, checkpoint, capture)
        journal, end = checkpoint.names.journal, time.monotonic() + _SOME
        while time.monotonic() < end:
            if own(desk.session, JOURNAL_BYTES, journal)[0][0] > 3 * 8192:
                break
            time.sleep(0.01)  # between two looks at what the application has written
        own(desk.session, f"DELETE FROM {journal}")

    return copy_first


def _a_moment_later(make: Callable[..., Any]) -> Callable[..., Any]:
    def late(*args: Any) -> Any:
        time.sleep(1.0)  # the gap itself, in which the application writes
        return make(*args)

    return late


def _but_for_orders(value: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda make: lambda each: value if each["table"] == "orders" else make(each)


def _not_replayed(op: str) -> Callable[[Count], None]:
    where = " WHERE j.number = "
    return without_text(
        _JOURNAL,
        "take_journal",
        where,
        f" WHERE j.op <> '{op}' AND j.number = ",
    )


def _of_patches(old: str, new: str = "") -> Mutant:
    return Mutant((without_text(_REPLAY, "make_patch", old, new),))


def _forgets(module: str, name: str) -> Mutant:
    return Mutant((replaced(f"{_PLANS}.{module}", name, returns([])),), blind=True)


MUTANTS: Final[dict[str, Mutant]] = {
    "copy before capture": Mutant(
        (replaced(f"{_RUNNER}.copy", "copy_tables", _forgetting_the_first_writes),), part="open"
    ),
    "deletes are not replayed": Mutant((_not_replayed("D"),)),
    "updates are not replayed": Mutant((_not_replayed("U"),)),
    "inserts are not replayed": Mutant((_not_replayed("I"),)),
    "the first writer wins": _of_patches("p.seq DESC, f.key", "p.seq ASC, f.key"),
    "the whole row is written": _of_patches(
        " AND (p.op = 'I' OR p.olds[f.n] IS DISTINCT FROM p.news[f.n])"
    ),
    "changed keys are like other changes": Mutant(
        (replaced(_REPLAY, "read_moves", returns("SELECT '', '' WHERE false")),)
    ),
    "values in new columns are dropped": _of_patches(
        " WHERE name <> ALL (", " WHERE false AND name <> ALL ("
    ),
    "writes to rows of the migration are dropped": _of_patches(
        " WHERE (e.first <> 'I' AND", " WHERE (false AND e.first <> 'I' AND"
    ),
    "values that do not fit are dropped": Mutant(
        (replaced(_REPLAY, "record_misfit", returns("SELECT $1::bigint")),)
    ),
    "nothing is replayed under the lock": Mutant(
        (
            replaced(f"{_RUNNER}.replay", "replay_rest", returns(None)),
            replaced(f"{_PLANS}.locks", "lock", _a_moment_later),
        )
    ),
    "the migration counts as application": Mutant(
        (without_text(_CAPTURE, "condition", "session_user <> ", "'' <> "),),
        part="open",
    ),
    "json goes through jsonb": Mutant(
        (
            without_text(_CAPTURE, "create_capture", "row_to_json(", "to_jsonb("),
            without_text(_REPLAY, "put_rows", "p.texts ->> ", "p.patch ->> "),
        ),
    ),
    "sequences do not go on": Mutant((replaced(f"{_RUNNER}.swap", "_go_on", returns([])),)),
    "grants are forgotten": _forgets("dress", "rights"),
    "comments are forgotten": _forgets("dress", "comment"),
    "policies are forgotten": _forgets("dress", "_policies"),
    "triggers are forgotten": _forgets("dress", "_triggers"),
    "statistics are forgotten": _forgets("dress", "_statistics"),
    "publications are forgotten": _forgets("exchange", "_publish"),
    "an index gets another order": Mutant(
        (without_text(f"{_PLANS}.clone", "_indexes", " DESC NULLS LAST"),), blind=True
    ),
    "checks are forgotten": _forgets("clone", "_checks"),
    "inbound foreign keys are forgotten": Mutant(
        (
            replaced(f"{_PLANS}.exchange", "_foreign_key", _but_for_orders([])),
            replaced(f"{_PLANS}.exchange", "validate", _but_for_orders("SELECT")),
        ),
        blind=True,
    ),
    "what triggers write is not covered": Mutant(
        (replaced(f"{_RUNNER}.closure", "_written", returns(set())),), part="open"
    ),
    "there is no expiry": Mutant(
        (without_text(_CAPTURE, "condition", "pg_catalog.now() < ", "'-infinity' < "),),
        part="open",
    ),
    "a later run is not noticed": Mutant(
        (replaced(f"{_RUNNER}.open", "clear_way", returns(None)),), part="open"
    ),
    "a damaged copy is not noticed": Mutant(
        (replaced(f"{_RUNNER}.copy", "expect_clones", returns(None)),)
    ),
    "a disabled trigger is not noticed": Mutant(
        (replaced(f"{_RUNNER}.watch", "_expect_triggers", returns(None)),)
    ),
    "a full journal is not noticed": Mutant(
        (replaced(f"{_RUNNER}.watch", "_expect_room", returns(None)),)
    ),
}  # fmt: skip
