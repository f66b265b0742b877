"""`whimbrel watch NAME`: the run of an object in the cluster, live, to its end."""

import json
import math
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer
import yaml

from whimbrel.cli.clusters import connect_cluster, local_record
from whimbrel.cli.object_view import ending, facts, news, observed, rows
from whimbrel.cli.options import Form, Place, command_app, grouped
from whimbrel.cli.screen import aligned, is_alive, redrawn, say
from whimbrel.machine.timestamps import rfc3339
from whimbrel.model.bounds import parse_duration
from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.model.observed import Observed

app = command_app()


@dataclass(frozen=True)
class Look:
    """The object at one moment."""

    raw: dict[str, Any]
    seen: Observed


Show = Callable[[Look | None, Look], None]


@app.command()
@grouped
def watch(
    place: Place,
    name: Annotated[str, typer.Argument(help="Name of the object.", metavar="NAME")],
    timeout: Annotated[
        str, typer.Option("--timeout", help="Watch no longer; 0s: to the end of the run.")
    ] = "0s",
) -> None:
    """Watch the run of an object in the cluster until it ends, and leave with its exit code.

    At a terminal the screen is drawn in place, elsewhere each change is a line with its time; with
    -o json or yaml it is a document. An object that is not there is refused, as `kubectl rollout
    status` does. Gates and pauses are waited at. Ctrl-C ends the watching, not the run.

    Exit codes: 0 completed; 1 failed or rolled back, the database is as before; 2 refused; 3 a
    human is needed; 75 still going on.
    """
    if local_record(place, name) is not None:
        raise RefusedError(
            "WorkedOnHere",
            f"{name} is worked on here, where `whimbrel run` shows its own progress; "
            f"look at it with: whimbrel status {name}",
        )
    limit = _seconds(timeout)
    looks = (_look(raw) for raw in connect_cluster(place).follow(name, limit or math.inf, say))
    try:
        with _insisting():
            code = _watched(looks, place.form, timeout)
    except KeyboardInterrupt:
        say(f"no longer watched; the run of {name} goes on in the cluster")
        code = 75
    raise typer.Exit(code)


@contextmanager
def _insisting() -> Iterator[None]:
    """Raise an interrupt again each second: Python drops one that falls into a finalizer.

    (Python manual, object.__del__: exceptions that occur there are ignored.)
    """

    def interrupt(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        raise KeyboardInterrupt

    before = [(each, signal.signal(each, interrupt)) for each in (signal.SIGINT, signal.SIGALRM)]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for each, handler in before:
            signal.signal(each, handler)


def _seconds(timeout: str) -> float:
    try:
        return parse_duration(timeout)
    except ValueError as error:
        raise RefusedError("BadDuration", f"--timeout: {error}") from None


def _look(raw: dict[str, Any]) -> Look:
    return Look(raw, observed(raw, time.time()))


def _watched(looks: Iterator[Look], form: Form, timeout: str) -> int:
    """Show every look and return the exit code of the run.

    Raises:
        TransientError: The time is over, and the run goes on.
    """
    before: Look | None = None
    with _shown(form) as show:
        for now in looks:
            show(before, now)
            before = now
            code = ending(now.seen)
            if code is not None:
                return code
    message = f"not over after {timeout}; the run goes on in the cluster"
    if before is not None and _waits_for_a_person(before.seen):
        say(f"{message} and waits for a person")
        return 3
    raise TransientError("NotOver", message)


def _waits_for_a_person(seen: Observed) -> bool:
    return any((each.type, each.status) == ("Paused", "True") for each in seen.status.conditions)


@contextmanager
def _shown(form: Form) -> Iterator[Show]:
    """Give the function that shows a look, after the one before it."""
    if form is not Form.TABLE:
        yield lambda before, now: _write(documents(before, now, form))
    elif not is_alive():
        yield lambda before, now: _write(lines(before, now))
    else:
        yield from _drawn()


def _drawn() -> Iterator[Show]:
    newest: deque[Look] = deque(maxlen=1)
    try:
        with redrawn(lambda: screen(newest[-1], time.time()) if newest else ""):
            yield lambda _, now: newest.append(now)
    finally:
        _write([screen(each, each.seen.now) for each in newest])


def _write(lines: list[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def screen(look: Look, now: float) -> str:
    """Return what a terminal shows at a moment (Unix seconds)."""
    return aligned(rows(observed(look.raw, now)))


def lines(before: Look | None, now: Look) -> list[str]:
    """Return a line with its time for each change."""
    found = news(facts(before.seen) if before else {}, facts(now.seen))
    return [f"{rfc3339(now.seen.now)} {line}".replace("\n", " ") for line in found]


def documents(before: Look | None, now: Look, form: Form) -> list[str]:
    """Return the document of a change, if it is one: the status, and how the run has ended."""
    status = now.raw.get("status") or {}
    if before is not None and status == (before.raw.get("status") or {}):
        return []
    seen = now.seen
    content = {
        "at": rfc3339(seen.now),
        "namespace": seen.namespace,
        "name": seen.name,
        "generation": seen.generation,
        "status": status,
        "exitCode": ending(seen),
    }
    if form is Form.JSON:
        return [json.dumps(content)]
    return ["---\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=True).rstrip()]
