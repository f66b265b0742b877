"""`python -m whimbrel.runner`: one attempt, inside a Job's Pod."""

import sys
import threading
from pathlib import Path

from whimbrel.model.importing import collecting_nothing

with collecting_nothing():
    from whimbrel.model.errors import WhimbrelError
    from whimbrel.model.order import Order
    from whimbrel.model.result import Result
    from whimbrel.runner.entry import answer
    from whimbrel.runner.findings import Findings
    from whimbrel.runner.pod import pod_surroundings
    from whimbrel.runner.work import carry_out


def attempt(order: Order, root: Path, stopping: threading.Event) -> Result:
    """Gather what the Pod gives and carry the order out."""
    try:
        with pod_surroundings(order, root, stopping) as surroundings:
            return carry_out(order, surroundings)
    except WhimbrelError as error:
        return Findings(order).failure(error)


if __name__ == "__main__":
    sys.exit(answer(attempt))
