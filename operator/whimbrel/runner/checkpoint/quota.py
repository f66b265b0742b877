"""Watches the journal while the migration runs: it stops the migration, never the application."""

import contextlib
import signal
import threading
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

FULL: Final = "JournalFull"
_POLL_SECONDS: Final = 0.25
_TOOL_GRACE: Final = 10  # cancels; then the tool is killed


class Quota(Beside):
    """Stops what the migration does once it has used up its half of the journal."""

    def __init__(self, checkpoint: Checkpoint, bench: Bench) -> None:
        super().__init__("journal")
        self._checkpoint, self._bench = checkpoint, bench
        self._session = bench.holding.another_session()
        bench.spare.append(self._session.backend())
        self._full = threading.Event()

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
        if not self._full.is_set() or self._bench.tool_lives.is_set():
            return error
        most = format_bytes(self._checkpoint.max_journal)
        return FailedError(
            FULL,
            f"the journal of the checkpoint reached half of its checkpoint.maxJournal ({most}), so "
            "the migration was stopped: the other half is for what is written while it is taken "
            "back; write a larger one, or migrate at a quieter time",
        )

    def work(self) -> None:
        """Look at the journal until it is over; stop the migration where its half is used up."""
        size = engine_of(self._session).journal_bytes
        with contextlib.suppress(*SERVER_ERRORS):
            while not self.over.wait(_POLL_SECONDS):
                if is_used_up(self._checkpoint, size(self._checkpoint, self._session)):
                    self._full.set()
                    break
        if self._full.is_set():
            self._stop()

    def _stop(self) -> None:
        tool, cancels = self._bench.place.tool, 0
        while not self.over.is_set():
            self._bench.holding.interrupts.strike()
            if tool is not None:
                tool.signal(signal.SIGKILL if cancels > _TOOL_GRACE else signal.SIGTERM)
            cancels += 1
            self.over.wait(STRIKE_AGAIN)
