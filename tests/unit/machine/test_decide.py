"""One table: what is seen, and what comes next."""

from dataclasses import replace

import pytest

from tests.blue_green import blue_green
from tests.kept_checkpoint import dropping, kept
from whimbrel.machine import names
from whimbrel.machine.decide import RULES, decide
from whimbrel.machine.names import FINALIZER, asked_digest, run_id, work_digest
from whimbrel.machine.report import report
from whimbrel.machine.timestamps import precise, rfc3339
from whimbrel.model.observed import CheckJobSeen, JobSeen, Observed, PodSeen
from whimbrel.model.plan import Segment
from whimbrel.model.release.traffic import ServiceSeen, TrafficSeen
from whimbrel.model.result import Outcome, Result, encode_result
from whimbrel.model.spec import parse_spec
from whimbrel.model.status import (
    GateStatus,
    Handled,
    HolderStatus,
    LastResult,
    ReleaseStatus,
    RunState,
    RunStatus,
    Status,
)

NOW = 1_800_000_000.0
RAW = {
    "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
    "migrations": {"tool": "sql", "inline": {"files": {"001_a.up.sql": "SELECT 1"}}},
}
SPEC = parse_spec(RAW)
GATED = parse_spec(RAW | {"approval": {"before": ["Start"]}})
OLDER = parse_spec(RAW | {"migrations": {"tool": "alembic", "image": "shop:8"}})
RUN = RunStatus(
    id=run_id("uid", 1),
    generation=1,
    work=work_digest(SPEC),
    asked=asked_digest(SPEC),
    segment=Segment.MIGRATE,
    started_at=rfc3339(NOW - 60),
    deadline=precise(NOW + 3600),
)
KEPT = frozenset({FINALIZER})


def run(**changes: object) -> Status:
    return Status(observed_generation=1, run=RUN.model_copy(update=changes))


def ended(outcome: Outcome, **changes: object) -> Status:
    last = LastResult(
        segment="Migrate", attempt=1, outcome=outcome, reason="Why", message="what", at=rfc3339(NOW)
    )
    return run(state=RunState.CLOSED, last=last, **changes)


def seen(status: Status | None = None, **changes: object) -> Observed:
    base = Observed(
        "shop", "shop", "uid", 1, SPEC, status or Status(), NOW, finalizers=KEPT, image="w:1"
    )
    return replace(base, **changes)


def answer(outcome: Outcome, **more: object) -> str:
    told = {"run": RUN.id, "segment": "Migrate", "attempt": 1, "reason": "Why", "message": "what"}
    return encode_result(Result(outcome=outcome, **(told | more)))


def job(*, pod: PodSeen | None = None, **changes: object) -> JobSeen:
    one = JobSeen(
        name=names.job_name("shop", "uid", RUN.id, segment="Migrate", attempt=1),
        uid="job-1",
        owner="uid",
        run=RUN.id,
        segment="Migrate",
        attempt=1,
        pod=pod,
    )
    return replace(one, **changes)


def pod(**changes: object) -> PodSeen:
    return replace(PodSeen("p", "job-1", RUN.id, "Migrate", 1), **changes)


WORKING = job(pod=pod(working=True))
LOST = job(finished=True)
LEAVING = {"leaving_since": NOW - 10}
HOLDER = HolderStatus(namespace="shop", name="other", uid="u", cluster="c", run="other-run")


ROWS = [
    pytest.param(seen(finalizers=frozenset()), "StartRun", id="fresh: a run is written"),
    pytest.param(
        seen(run(), finalizers=frozenset()), "AddFinalizer", id="before the first Job: finalizer"
    ),
    pytest.param(seen(run()), "CreateJob", id="intent without a Job: create it"),
    pytest.param(seen(run(), jobs=(WORKING,)), "Wait", id="Job works: wait"),
    pytest.param(seen(run(), jobs=(job(leaving=True),)), "Wait", id="Job is being deleted: wait"),
    pytest.param(
        seen(run(), jobs=(job(pod=pod(message=answer(Outcome.DONE))),)),
        "RecordResult",
        id="answer: record it",
    ),
    pytest.param(
        seen(run(), jobs=(job(pod=pod(message=answer(Outcome.DONE, run="x"), ended=True)),)),
        "NextAttempt",
        id="answer of another run: unknown",
    ),
    pytest.param(seen(run(), jobs=(LOST,)), "NextAttempt", id="end without an answer: look"),
    pytest.param(
        seen(run(), jobs=(job(owner="somebody"),)),
        "Hold",
        id="somebody else's Job has our name: hold",
    ),
    pytest.param(
        seen(run(), jobs=(job(run="before"),)),
        "DeleteJob",
        id="Job of another run: delete it first",
    ),
    pytest.param(
        seen(run(), jobs=(job(run="before", finished=True),)),
        "CreateJob",
        id="finished Job of another run stays",
    ),
    pytest.param(
        seen(run(), pods=(pod(leaving_since=NOW - 5),)),
        "Wait",
        id="Pod of before still stops: wait for it",
    ),
    pytest.param(
        seen(run(), jobs=(job(pod=pod(working=True, leaving_since=NOW - 61)),)),
        "Wait",
        id="its node may be lost: what it wrote has an end that only a fence proves",
    ),
    pytest.param(
        seen(run(), pods=(pod(leaving_since=NOW - 61),)),
        "CreateJob",
        id="Pod of before never stops: the fence",
    ),
    pytest.param(
        seen(run(), pods=(pod(ended=True),)),
        "NextAttempt",
        id="kubelet's word is written before it is lost",
    ),
    pytest.param(seen(run(not_before=precise(NOW + 5), failures=1)), "Wait", id="backoff: wait"),
    pytest.param(seen(run(), neighbours=("other",)), "Wait", id="same Secret: take turns"),
    pytest.param(
        seen(run(not_before=precise(NOW - 1), failures=1)), "CreateJob", id="backoff over: try"
    ),
    pytest.param(seen(run(), spec=None, problem="bad"), "Hold", id="spec is wrong: hold"),
    pytest.param(
        seen(run(), generation=2, spec=GATED), "StartRun", id="other spec, no Job: new run"
    ),
    pytest.param(
        seen(run(), generation=2, spec=GATED, jobs=(WORKING,)),
        "Wait",
        id="other spec, Job works: wait",
    ),
    pytest.param(
        seen(run(), generation=2, spec=GATED, jobs=(job(pod=pod(trouble="ImagePullBackOff")),)),
        "StartRun",
        id="other spec, Pod never started: new run",
    ),
    pytest.param(
        seen(run(), spec=SPEC.model_copy(update={"suspend": True}), jobs=(WORKING,)),
        "DeleteJob",
        id="suspended: stop the Job",
    ),
    pytest.param(
        seen(run(), spec=SPEC.model_copy(update={"suspend": True})),
        "Wait",
        id="suspended: nothing starts",
    ),
    pytest.param(seen(ended(Outcome.DONE)), "ReleaseFinalizer", id="done: let go"),
    pytest.param(
        seen(ended(Outcome.DONE), finalizers=frozenset()), "Done", id="done and let go: rest"
    ),
    pytest.param(seen(ended(Outcome.FAILED), finalizers=frozenset()), "Hold", id="failed: rest"),
    pytest.param(seen(ended(Outcome.HELD)), "Hold", id="held: the finalizer stays"),
    pytest.param(
        seen(ended(Outcome.FAILED), annotations={names.RETRY: "now"}),
        "StartRun",
        id="retry: new run",
    ),
    pytest.param(
        seen(
            ended(Outcome.FAILED).model_copy(update={"handled": Handled(retry="now")}),
            annotations={names.RETRY: "now"},
            finalizers=frozenset(),
        ),
        "Hold",
        id="retry that was handled: rest",
    ),
    pytest.param(
        seen(ended(Outcome.HELD), annotations={names.RESOLVE: f"FenceProven:{RUN.id}"}),
        "NextAttempt",
        id="resolved: the run goes on",
    ),
    pytest.param(
        seen(ended(Outcome.HELD), annotations={names.RESOLVE: "FenceProven:other"}),
        "Hold",
        id="resolve of another run: still held",
    ),
    pytest.param(
        seen(
            ended(Outcome.FAILED),
            annotations={names.RESOLVE: f"FenceProven:{RUN.id}"},
            finalizers=frozenset(),
        ),
        "Hold",
        id="resolve of what asked nothing: rest",
    ),
    pytest.param(
        seen(
            run(not_before=precise(NOW + 9), holder=HOLDER),
            annotations={names.RESOLVE: "TakeOver:other-run"},
        ),
        "NextAttempt",
        id="take-over of the holder: at once",
    ),
    pytest.param(
        seen(finalizers=frozenset(), **LEAVING), "Ignore", id="deleted, nothing ours: ignore"
    ),
    pytest.param(seen(**LEAVING), "ReleaseFinalizer", id="deleted before any run: let go"),
    pytest.param(seen(run(), **LEAVING), "NextAttempt", id="deleted with an open run: abort"),
    pytest.param(
        seen(run(goal=Segment.ABORT, segment=Segment.ABORT), **LEAVING),
        "CreateJob",
        id="abort: its Job",
    ),
    pytest.param(
        seen(ended(Outcome.DONE), **LEAVING), "ReleaseFinalizer", id="deleted when done: let go"
    ),
    pytest.param(
        seen(ended(Outcome.HELD), **LEAVING), "NextAttempt", id="deleted when held: abort"
    ),
    pytest.param(
        seen(run(), namespace_leaving=True, **LEAVING),
        "ReleaseFinalizer",
        id="namespace goes: let go at once",
    ),
    pytest.param(
        seen(run(), leaving_since=NOW - 301), "ReleaseFinalizer", id="five minutes are over: let go"
    ),
]


@pytest.mark.parametrize(("observed", "expected"), ROWS)
def test_next_decision(observed: Observed, expected: str):
    assert type(decide(observed)).__name__ == expected


def at_gate(token: str = "Start:abc") -> Status:
    gate = GateStatus(name="Start", token=token, plan="cm", since=rfc3339(NOW))
    status = run(segment=Segment.APPROVE, plan_digest="abc", attempt=1, work=work_digest(GATED))
    return status.model_copy(update={"gate": gate})


def deciding(observed: Observed) -> str:
    return next(rule.__name__ for rule in RULES if rule(observed) is not None)


def in_a_release() -> list[Observed]:
    """One of each: refused, told, measured, going on, complete without a selector."""
    spec = parse_spec(RAW | blue_green())
    begun = ReleaseStatus(since=precise(NOW))
    soaks = run(segment=Segment.SOAK, release=begun)
    prepares = run(segment=Segment.PREPARE, release=begun)
    lost = TrafficSeen(service=ServiceSeen("shop", "1", {}, managed_by="shop"))
    return [
        seen(run(), spec=spec, traffic=TrafficSeen()),
        seen(soaks, spec=spec, annotations={names.ROLLBACK: "now"}),
        seen(prepares, spec=spec, check_jobs=(CheckJobSeen("shop-check-1", "job-1", "uid"),)),
        seen(prepares, spec=spec, traffic=TrafficSeen()),
        seen(ended(Outcome.DONE), spec=spec, traffic=lost, finalizers=frozenset()),
    ]


def test_every_rule_decides_somewhere():
    many = tuple(job(uid=f"job-{number}", attempt=9 + number, finished=True) for number in range(4))
    others = [
        seen(at_gate(), spec=GATED, annotations={names.APPROVE: "Start:abc"}),
        seen(at_gate(), spec=GATED),
        seen(ended(Outcome.DONE), jobs=many, finalizers=frozenset()),
    ]
    others += [*in_a_release(), seen(kept()), seen(kept(), jobs=(dropping(ended=True),))]
    decided = {deciding(each) for each in [row.values[0] for row in ROWS] + others}
    assert decided == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param({}, "Wait", id="nobody approved"),
        pytest.param({names.APPROVE: "Start:old"}, "Wait", id="another plan was approved"),
        pytest.param({names.APPROVE: "Start:abc"}, "NextAttempt", id="approved"),
    ],
)
def test_gate(annotations: dict[str, str], expected: str):
    decision = decide(seen(at_gate(), spec=GATED, annotations=annotations))
    assert type(decision).__name__ == expected


def test_plan_without_token_is_never_approved():
    waits = at_gate(token="")
    decision = decide(seen(waits, spec=GATED, annotations={names.APPROVE: ""}))
    assert type(decision).__name__ == "NextAttempt"  # the look Job is gone: look again
    assert decision.run.segment is Segment.LOOK


@pytest.mark.parametrize(
    ("outcome", "segment", "state"),
    [
        pytest.param(Outcome.DONE, Segment.MIGRATE, RunState.CLOSED, id="done"),
        pytest.param(Outcome.AHEAD, Segment.MIGRATE, RunState.CLOSED, id="ahead"),
        pytest.param(Outcome.FAILED, Segment.MIGRATE, RunState.CLOSED, id="failed"),
        pytest.param(Outcome.REFUSED, Segment.MIGRATE, RunState.CLOSED, id="refused"),
        pytest.param(Outcome.HELD, Segment.MIGRATE, RunState.CLOSED, id="held"),
        pytest.param(Outcome.NOT_FINISHED, Segment.MIGRATE, RunState.OPEN, id="not finished"),
    ],
)
def test_answer_of_a_migration(outcome: Outcome, segment: Segment, state: RunState):
    decision = decide(seen(run(), jobs=(job(pod=pod(message=answer(outcome))),)))
    assert (decision.run.segment, decision.run.state) == (segment, state)
    assert decision.run.attempt == (2 if outcome is Outcome.NOT_FINISHED else 1)


def test_retry_after_is_the_lower_bound_of_the_backoff():
    text = answer(Outcome.NOT_FINISHED, retry_after=45.0)
    decision = decide(seen(run(), jobs=(job(pod=pod(message=text)),)))
    assert decision.run.not_before == precise(NOW + 45)


def test_newer_image_is_taken_for_the_next_attempt():
    text = answer(Outcome.REFUSED, reason="NeedsNewerImage", image="shop:9")
    status, jobs = run(goal=Segment.ROLLBACK), (job(pod=pod(message=text)),)
    after = report(seen(status), decide(seen(status, spec=OLDER, jobs=jobs)))
    assert (after.run.image, after.run.attempt, after.run.state) == ("shop:9", 2, RunState.OPEN)
    next_one = decide(seen(after, spec=OLDER))
    assert (next_one.tool_image, next_one.order.image) == ("shop:9", "shop:9")
    again = decide(seen(run(image="shop:9"), spec=OLDER, jobs=jobs))
    assert again.run.state is RunState.CLOSED
    same = OLDER.migrations.model_copy(update={"image": "shop:9"})
    same = OLDER.model_copy(update={"migrations": same})
    assert decide(seen(status, spec=same, jobs=jobs)).run.state is RunState.CLOSED


def test_a_job_that_never_goes_away_is_said_after_the_deadline():
    stuck = seen(run(deadline=precise(NOW - 1)), jobs=(job(leaving=True),))
    decision = decide(stuck)
    assert (decision.stalled, decision.reason) == (True, "DeadlineExceeded")
    assert "kubectl get -n shop job/" in decision.message


def test_several_heads_with_long_names_fit_into_status():
    revision = ", ".join(f"head_{number:030}" for number in range(12))
    result = Result(
        outcome=Outcome.DONE, run=RUN.id, segment="Migrate", attempt=1, reason="Applied",
        message="m", revision=revision, target=revision,
    )  # fmt: skip
    looked = seen(run(), jobs=(job(pod=pod(message=encode_result(result))),))
    shown = report(looked, decide(looked))
    assert Status.model_validate(shown.model_dump(mode="json", by_alias=True)) == shown
    assert (len(shown.revision), shown.revision[-4:]) == (255, " ...")
