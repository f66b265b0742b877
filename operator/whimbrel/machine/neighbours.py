"""Objects that name the same Secret work one after the other.

A saving, never a guarantee: the reservation in the database is that. Without it a hundred objects
of one database would start a hundred Pods, and all but one would find it taken.
"""

from typing import Final

from whimbrel.machine.attempts import STOPPING, gave_up
from whimbrel.machine.decisions import Decision, Wait
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import JobSeen, Observed
from whimbrel.model.status import Phase

TURN: Final = 15.0  # seconds between two looks; the end of a neighbour's Job wakes us earlier
STARTS: Final = 60.0  # seconds in which a Job that does not work yet counts as about to


def keeps_us_waiting(job: JobSeen, seen: Observed) -> bool:
    """Tell whether a Job on the same Secret is another object's and at work, or soon will be."""
    pod = job.pod
    if job.owner == seen.uid or not job.may_work():
        return False
    if pod is None or not pod.working:
        # Nothing is held while an image is pulled, or cannot be.
        return seen.now < job.created + STARTS and not (pod and pod.trouble)
    return pod.leaving_since is None or seen.now < pod.leaving_since + STOPPING


def neighbour_works(seen: Observed) -> Decision | None:
    """Wait for the objects that work on the same Secret, before the first attempt of a run.

    One that is deleted does not wait, nor one that has begun and was told of no holder: it may
    hold the database itself, and then every neighbour's Job only learns that.
    """
    run = seen.status.run
    if run is None or not seen.neighbours or seen.leaving_since is not None:
        return None
    if run.last is not None and run.holder is None:
        return None
    who = ", ".join(f"{seen.namespace}/{name}" for name in seen.neighbours)
    message = f"waits for {who}, which works with the same Secret"
    until = seen.now + TURN
    if seen.now >= unix(run.deadline):
        return gave_up(message, until)
    return Wait(Phase.WAITING, "Waiting", message, until=until)
