"""SIGTERM and Ctrl-C become an event; the run stops at its next safe point."""

import signal
import threading
from types import FrameType


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set. Only the main thread may call this."""
    stopping = threading.Event()

    def remember(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, remember)
    signal.signal(signal.SIGINT, remember)
    return stopping
