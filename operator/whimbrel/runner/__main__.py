"""`python -m whimbrel.runner`: one attempt, inside a Job's Pod."""

import logging
import os
import sys
import threading
from pathlib import Path
from typing import Final

from whimbrel.model.errors import WhimbrelError
from whimbrel.model.order import Order
from whimbrel.model.probed import moment_of
from whimbrel.model.result import Result, encode_result
from whimbrel.runner import mounts
from whimbrel.runner.findings import Findings
from whimbrel.runner.pod import pod_surroundings
from whimbrel.runner.probes.job import probe
from whimbrel.runner.stopping import stop_on_signals
from whimbrel.runner.work import carry_out

TERMINATION_LOG: Final = "/dev/termination-log"

log = logging.getLogger("whimbrel.runner")


def main() -> int:
    """Carry out the mounted order; the termination message and the exit code are the answer."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    stopping = stop_on_signals()
    root = Path(os.environ.get("WHIMBREL_ROOT", mounts.ROOT))
    order = mounts.read_order(root)
    result = attempt(order, root, stopping)
    log.info("%s: %s", result.reason, result.message)
    path = Path(os.environ.get("WHIMBREL_TERMINATION_LOG", TERMINATION_LOG))
    path.write_text(encode_result(result), encoding="utf-8")
    if moment_of(order.segment) is not None:
        os._exit(result.exit_code())  # a thread that hangs in the resolver would be waited for
    return result.exit_code()


def attempt(order: Order, root: Path, stopping: threading.Event) -> Result:
    """Gather what the Pod gives and carry the order out."""
    moment = moment_of(order.segment)
    if moment is not None:
        return probe(order, moment, root, stopping)
    try:
        with pod_surroundings(order, root, stopping) as surroundings:
            return carry_out(order, surroundings)
    except WhimbrelError as error:
        return Findings(order).failure(error)


if __name__ == "__main__":
    sys.exit(main())
