"""`python -m whimbrel.runner.probes`: the checks of one moment, inside a Job's Pod.

Apart from the runner: what asks over HTTP takes a fifth of a second to import, which no migration
needs to wait for.
"""

import os
import sys
import threading
from pathlib import Path

from whimbrel.model.order import Order
from whimbrel.model.release.health import Moment
from whimbrel.model.result import Result
from whimbrel.runner.entry import answer
from whimbrel.runner.probes.job import probe


def attempt(order: Order, root: Path, stopping: threading.Event) -> Result:
    """Measure the moment that the order's segment names."""
    return probe(order, Moment(order.segment.value), root, stopping)


if __name__ == "__main__":
    code = answer(attempt)
    sys.stdout.flush()
    os._exit(code)  # a thread that hangs in the resolver would be waited for
