"""What a Job answered."""

from whimbrel.model.observed import JobSeen
from whimbrel.model.result import Result, decode_result


def answer_of(job: JobSeen) -> Result | None:
    """Return the result in a Job's termination message; None where that is of no such attempt."""
    if job.pod is None or job.pod.message is None:
        return None
    result = decode_result(job.pod.message)
    if result is None or (result.run, result.attempt) != (job.run, job.attempt):
        return None
    return result if result.segment == job.segment else None
