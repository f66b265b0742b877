"""Watches the journal while the migration runs: it stops the migration, never the application."""

import contextlib
import signal
import time
from types import TracebackType
from typing import Final

from whimbrel.model.checkpoint import format_bytes
from whimbrel.model.errors import FailedError, WhimbrelError
from whimbrel.runner.bench import Bench
from whimbrel.runner.beside import Beside
from whimbrel.runner.checkpoint.engine import engine_of
from whimbrel.runner.checkpoint.manifest import Checkpoint
from whimbrel.runner.checkpoint.watch import is_used_up
from whimbrel.runner.interrupts import STRIKE_AGAIN
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.session import Session

FULL: Final = "JournalFull"
UNSEEN: Final = "JournalUnseen"
_POLL_SECONDS: Final = 0.25
_BLIND: Final = 10.0  # seconds without a look; what nobody sees may be full
_TOOL_GRACE: Final = 10  # cancels; then the tool is killed


class Quota(Beside):
    """Stops what the migration does once it has used up its half of the journal.

    Also where nobody can look at that any more: its way back may have no room then.
    """

    def __init__(self, checkpoint: Checkpoint, bench: Bench) -> None:
        super().__init__("journal")
        self._checkpoint, self._bench = checkpoint, bench
        self._session = self._connected()
        self._seen = time.monotonic()
        self._why = ""  # it was stopped

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let its session go with it."""
        super().__exit__(kind, error, trace)
        self._session.close()

    def meaning(self, error: WhimbrelError) -> WhimbrelError:
        """Return what an end means: that of a tool that still lives is not known yet."""
        if not self._why or self._bench.tool_lives.is_set():
            return error
        if self._why == UNSEEN:
            return FailedError(
                UNSEEN,
                f"nobody could look at the journal of the checkpoint for {_BLIND:.0f} seconds, so "
                "the migration was stopped while it could be taken back: the server let no further "
                "session of ours in, or did not answer; mend that, then migrate again",
            )
        most = format_bytes(self._checkpoint.max_journal)
        return FailedError(
            FULL,
            f"the journal of the checkpoint reached half of its checkpoint.maxJournal ({most}), so "
            "the migration was stopped: the other half is for what is written while it is taken "
            "back; write a larger one, or migrate at a quieter time",
        )

    def work(self) -> None:
        """Look at the journal until it is over; stop the migration where that is due."""
        while not self._why and not self.over.wait(_POLL_SECONDS):
            self._why = self._look()
        if self._why:
            self._stop()

    def _look(self) -> str:
        """Return why the migration has to stop, or ""."""
        size = engine_of(self._session).journal_bytes
        try:
            used_up = is_used_up(self._checkpoint, size(self._checkpoint, self._session))
        except SERVER_ERRORS:
            self._reconnect()
            return UNSEEN if time.monotonic() - self._seen > _BLIND else ""
        self._seen = time.monotonic()
        return FULL if used_up else ""

    def _reconnect(self) -> None:
        self._session.close()
        with contextlib.suppress(WhimbrelError, *SERVER_ERRORS):
            self._session = self._connected()

    def _connected(self) -> Session:
        session = self._bench.holding.another_session()
        self._bench.spare.append(session.backend())
        return session

    def _stop(self) -> None:
        tool, cancels = self._bench.place.tool, 0
        while not self.over.is_set():
            self._bench.holding.interrupts.strike()
            if tool is not None:
                tool.signal(signal.SIGKILL if cancels > _TOOL_GRACE else signal.SIGTERM)
            cancels += 1
            self.over.wait(STRIKE_AGAIN)
