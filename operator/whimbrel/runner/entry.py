"""From a mounted order to a termination message: the same for a runner and for a probe."""

import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from whimbrel.model.order import Order
from whimbrel.model.result import MESSAGE_BYTES, MESSAGE_LIMIT, Result, encode_result
from whimbrel.runner import mounts
from whimbrel.runner.stopping import stop_on_signals

TERMINATION_LOG: Final = "/dev/termination-log"

log = logging.getLogger("whimbrel.runner")


def answer(attempt: Callable[[Order, Path, threading.Event], Result]) -> int:
    """Carry out the mounted order; the termination message and the exit code are the answer."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    stopping = stop_on_signals()
    root = Path(os.environ.get("WHIMBREL_ROOT", mounts.ROOT))
    result = attempt(mounts.read_order(root), root, stopping)
    log.info("%s: %s", result.reason, result.message)
    path = Path(os.environ.get("WHIMBREL_TERMINATION_LOG", TERMINATION_LOG))
    room = int(os.environ.get(MESSAGE_BYTES, MESSAGE_LIMIT))
    path.write_text(encode_result(result, room), encoding="utf-8")
    return result.exit_code()
