"""Objects that name the same Secret work one after the other.

A saving, never a guarantee: the reservation in the database is that. Without it a hundred objects
of one database would start a hundred Pods, and all but one would find it taken.
"""

from typing import Final

from whimbrel.machine.attempts import gave_up
from whimbrel.machine.decisions import Decision, Wait
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import JobSeen, Observed
from whimbrel.model.status import Phase

TURN: Final = 15.0  # seconds between two looks; the end of a neighbour's Job wakes us earlier
POD_COMES: Final = 30.0  # seconds that a Job may be without a Pod (a quota) and still count


def keeps_us_waiting(job: JobSeen, seen: Observed) -> bool:
    """Tell whether a Job on the same Secret is another object's and at work, or soon will be."""
    if job.owner == seen.uid or not job.may_work():
        return False
    if job.pod is None:
        return seen.now < job.created + POD_COMES
    return not job.pod.trouble  # nothing is held while an image cannot be pulled


def neighbour_works(seen: Observed) -> Decision | None:
    """Wait for the objects that work on the same Secret; one that is deleted does not."""
    run = seen.status.run
    if run is None or not seen.neighbours or seen.leaving_since is not None:
        return None
    who = ", ".join(f"{seen.namespace}/{name}" for name in seen.neighbours)
    message = f"waits for {who}, which works with the same Secret"
    until = seen.now + TURN
    if seen.now >= unix(run.deadline):
        return gave_up(message, until)
    return Wait(Phase.WAITING, "Waiting", message, until=until)
