"""A session as the runner sees it, whichever server stands behind it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from whimbrel.planning.dialects.dialect import Dialect

Row = tuple[Any, ...]
Value = str | int | float | bool | list[int] | list[str] | None


@dataclass(frozen=True)
class Manners:
    """How a session behaves towards others.

    Attributes:
        application_name: What the server's list of sessions shows, or what stands for it.
        lock_timeout: Longest wait for a lock, seconds.
    """

    application_name: str
    lock_timeout: float


@dataclass(frozen=True)
class Theirs:
    """Sessions of an earlier attempt, or of a tool.

    Attributes:
        application_name: The name that they gave.
        login: Login of those.
        role: A login that was theirs alone, or "".
        spare: Ids of sessions that are not meant.
    """

    application_name: str
    login: str
    role: str = ""
    spare: tuple[int, ...] = ()


@dataclass(frozen=True)
class Watched:
    """Whose sessions are watched.

    Attributes:
        application_name: The name that ours and the tool's carry.
        role: The tool's own login, or "".
        pids: Sessions that are watched whatever they call themselves.
    """

    application_name: str
    role: str = ""
    pids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Waits:
    """Who of ours is at work, and who waits for a lock.

    Attributes:
        ours: Sessions of ours that are not idle, and their states.
        waiters: Session, seconds that it has waited, and who blocks it.
    """

    ours: dict[int, str]
    waiters: tuple[tuple[int, float, list[int]], ...] = ()


class Session(Protocol):
    """An autocommit session."""

    @property
    def dialect(self) -> Dialect:
        """Return what kind of server it is, and our statements for it."""

    @property
    def closed(self) -> bool:
        """Return whether it is of no use any more."""

    def ask(self, statement: str, values: Sequence[Value]) -> list[Row]:
        """Run one of our own statements, safe from anything that the author of a file set."""

    def run(self, text: str) -> None:
        """Send a statement exactly as its author wrote it."""

    def transaction(self) -> AbstractContextManager[object]:
        """Begin; commit at the end, roll back at an error."""

    def backend(self) -> int:
        """Return the server's number of the session, asked of the server itself."""

    def home(self) -> str | None:
        """Return where a file's unqualified names go, None where there is no such place."""

    def is_pooled(self) -> bool:
        """Return whether a pooler stands before the server."""

    def version(self) -> int:
        """Return the server's major version."""

    def still_holds_lock(self) -> bool:
        """Return whether it holds the migrator's lock; callable beside the worker's thread."""

    def refuse_writes(self) -> None:
        """Let the server itself refuse whatever writes."""

    def pin(self) -> None:
        """Prepare a session that runs nothing but our own statements."""

    def cancel_safe(self, *, timeout: float) -> None:
        """End the running statement; callable from any thread."""

    def terminate(self, theirs: Theirs) -> None:
        """End sessions of others."""

    def count(self, theirs: Theirs) -> int:
        """Return how many of them there are."""

    def busy_of_login(self, login: str, since: str, after: int) -> set[int]:
        """Return sessions of a login without our name that came later and are at work.

        Later by the server's clock (`since`), or by the number of a session (`after`).
        """

    def without_role(self) -> None:
        """Be the login itself, who may cancel what it does, and not the role it takes on."""

    def watch(self, watched: Watched) -> Waits:
        """Look once at who waits for whom."""

    def describe(self, pids: list[int]) -> list[Row]:
        """Return pid, name, login, state, age in seconds and query of sessions."""

    def stop(self, pid: int, *, hard: bool) -> None:
        """Cancel what a session does; `hard` ends the session."""

    def close(self) -> None:
        """Let it go."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Close it."""
