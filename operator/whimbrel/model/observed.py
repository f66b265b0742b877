"""What is true now, as the API server says it: the other half of every decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from whimbrel.model.plan import Segment
from whimbrel.model.release.checked import CheckStatus, Measurement
from whimbrel.model.release.traffic import TrafficSeen, WorkloadSeen
from whimbrel.model.spec import Spec
from whimbrel.model.status import Status


@dataclass(frozen=True)
class PodSeen:
    """A Pod of one of our Jobs.

    Attributes:
        job_uid: Uid of the Job that owns it.
        working: All containers were started and not all of them have ended.
        ended: The kubelet reported every ordinary container as terminated.
        message: Termination message of the container `runner` ("" for none); None while it has
            not ended.
        started: Unix seconds at which the last container started, or 0.
        trouble: Why a container does not start ("ErrImagePull: ..."), or "".
        leaving_since: Unix seconds of its deletion, or None.
    """

    name: str
    job_uid: str
    run: str
    segment: str
    attempt: int
    working: bool = False
    ended: bool = False
    message: str | None = None
    started: float = 0.0
    trouble: str = ""
    leaving_since: float | None = None

    def attempt_key(self) -> str:
        """Return "segment/attempt@pod": of two Pods of one attempt, each ends for itself."""
        return f"{self.segment}/{self.attempt}@{self.name}"


@dataclass(frozen=True)
class JobSeen:
    """A Job that carries our labels.

    Attributes:
        owner: Uid of the object that owns it.
        of: Name of that object.
        created: Unix seconds.
        finished: The condition Complete or Failed is True.
        leaving: It has a deletion timestamp.
        pod: Its newest Pod.
    """

    name: str
    uid: str
    owner: str
    run: str
    segment: str
    attempt: int
    of: str = ""
    created: float = 0.0
    finished: bool = False
    leaving: bool = False
    pod: PodSeen | None = None

    def may_work(self) -> bool:
        """Tell whether a runner could still do something in it."""
        if self.finished or self.leaving:
            return False
        return self.pod is None or (self.pod.message is None and not self.pod.ended)


@dataclass(frozen=True)
class CheckJobSeen:
    """The Job of one measurement.

    Attributes:
        owner: Uid of the object that owns it.
        created: Unix seconds.
        leaving: It has a deletion timestamp.
        end: "Complete" or "Failed", else "".
        reason: Why it failed, as the Job controller says.
        exit_code: Of its container; None while it runs, and where it was never started.
        exit_told: What it wrote to /dev/termination-log, else the kubelet's word for that end.
        trouble: Why the container does not start ("ImagePullBackOff: ..."), or "".
        taken: Why its Pod was ended from outside, or "".
    """

    name: str
    uid: str
    owner: str
    created: float = 0.0
    leaving: bool = False
    end: str = ""
    reason: str = ""
    exit_code: int | None = None
    exit_told: str = ""
    trouble: str = ""
    taken: str = ""


@dataclass(frozen=True)
class Observed:
    """One object with everything that belongs to it, read live.

    Attributes:
        spec: None when it could not be parsed; then `problem` says why.
        now: Unix seconds of this look.
        leaving_since: Unix seconds of the object's deletion, or None.
        namespace_leaving: The namespace terminates.
        pods: All Pods of the object, also those whose Job is gone.
        cluster: Uid of the namespace kube-system.
        image: The operator's own image.
        holder_gone: The object that holds the database is proven to be deleted.
        holder_hidden: That object is in a namespace that the operator may not read.
        neighbours: Objects of the namespace that work with the same Secret right now.
        plan_text: The plan's text from the log of the look Job, or None.
        traffic: The two sides of a blue-green release, where the run needs to know.
        workloads: Workloads that the spec names ("Deployment/shop"), where the run needs to know.
        measured: What the controller itself measured for checks in the current segment, by name.
        next_measurement: When it has to measure again, Unix seconds; infinite for never.
        check_jobs: Jobs of checks, each one measurement; none of them is an attempt.
        reads_logs: Whether logs may be read here at all.
        live: Checks as the last log line of the probe's Pod says, where it may be read.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Spec | None
    status: Status
    now: float
    problem: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    finalizers: frozenset[str] = frozenset()
    leaving_since: float | None = None
    namespace_leaving: bool = False
    jobs: tuple[JobSeen, ...] = ()
    pods: tuple[PodSeen, ...] = ()
    cluster: str = ""
    image: str = ""
    holder_gone: bool = False
    holder_hidden: bool = False
    neighbours: tuple[str, ...] = ()
    plan_text: str | None = None
    traffic: TrafficSeen | None = None
    workloads: Mapping[str, WorkloadSeen] = field(default_factory=dict)
    measured: Mapping[str, tuple[Measurement, ...]] = field(default_factory=dict)
    next_measurement: float = inf
    check_jobs: tuple[CheckJobSeen, ...] = ()
    reads_logs: bool = False
    live: tuple[CheckStatus, ...] = ()

    def current_job(self) -> JobSeen | None:
        """Return the Job of the attempt that `status.run` speaks of."""
        run = self.status.run
        return next((job for job in self.jobs if run and is_current(job, run.id, self)), None)


def is_current(job: JobSeen, run_id: str, seen: Observed) -> bool:
    """Tell whether a Job is the one that the intent in status asks for."""
    run = seen.status.run
    if run is None or run.segment is Segment.APPROVE:
        return False
    mine = (run_id, str(run.segment), run.attempt)
    return (job.run, job.segment, job.attempt) == mine and job.owner == seen.uid
