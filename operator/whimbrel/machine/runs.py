"""How `status.run` goes from one intent to the next."""

from typing import Any, Final

from whimbrel.machine.backoff import AFTER_DEADLINE, delay
from whimbrel.machine.names import asked_digest, run_id, work_digest
from whimbrel.machine.segments import (
    AFTER_MIGRATE,
    PROBES,
    following,
    has_release,
    segments,
)
from whimbrel.machine.timestamps import precise, rfc3339, unix
from whimbrel.machine.written import unfinished
from whimbrel.model.observed import Observed, PodSeen
from whimbrel.model.order import Known
from whimbrel.model.plan import Segment
from whimbrel.model.result import Holder, Outcome, Result, decode_result
from whimbrel.model.spec import Spec
from whimbrel.model.status import (
    HolderStatus,
    LastResult,
    ReleaseStatus,
    RunState,
    RunStatus,
    StepStatus,
)

GOOD: Final = frozenset({Outcome.DONE, Outcome.NOTHING_TO_DO, Outcome.AHEAD})
BACK: Final = GOOD | {Outcome.ROLLED_BACK}
BAD: Final = frozenset({Outcome.FAILED, Outcome.REFUSED, Outcome.HELD})
# Held before anything was touched, because a person has to see the plan (again).
UNAPPROVED: Final = frozenset({"NotApproved", "PlanChanged"})
# Asked before the runner worked: the run stays open in the ledger.
QUESTIONS: Final = frozenset(
    {"FenceUnproven", "LedgerDamaged", "LedgerMissing", "LedgerTooNew", "LedgerWentBack"}
)
KEPT: Final = 20  # entries of `ended`
EVERYTHING: Final = "base"  # target of a rollback that takes back all that this object applied
DELETED: Final = "delete"


def new_run(seen: Observed, spec: Spec, trigger: str, goal: Segment) -> RunStatus:
    """Return the intent of a run that starts now."""
    before = seen.status.run
    # Not a count: it must grow even where the status was lost or restored from a backup.
    number = max(int(seen.now), before.number + 1 if before else 0)
    return RunStatus(
        id=run_id(seen.uid, number),
        number=number,
        generation=seen.generation,
        trigger=trigger,
        goal=goal,
        unfinished=unfinished(before),
        work=work_digest(spec),
        asked=asked_digest(spec),
        segment=segments(spec, goal)[0],
        started_at=rfc3339(seen.now),
        deadline=precise(seen.now + spec.limits.progress_deadline),
        to=_target(before, trigger, goal),
        image=before.image if before and goal is Segment.ROLLBACK else "",
        ended=tuple(_foreign_keys(seen, before))[-KEPT:] if before else (),
        database=before.database if before else "",
        epoch=before.epoch if before else 0,
        release=_release(seen, goal),
    )


def _release(seen: Observed, goal: Segment) -> ReleaseStatus:
    """Return what a run begins with; of one that goes back nobody knows where the traffic is."""
    if goal is not Segment.ROLLBACK:
        return ReleaseStatus()
    return ReleaseStatus(since=precise(seen.now), switched=True, red="a rollback was asked for")


def _target(before: RunStatus | None, trigger: str, goal: Segment) -> str:
    """Return where a way back leads; for "" the runner takes back the newest run.

    One that has begun keeps its target: where it has arrived unheard, "the newest run" is
    another one.
    """
    if goal is not Segment.ROLLBACK:
        return ""
    if takes_all_back(trigger):
        return EVERYTHING
    return before.to if before and is_half_back(before) else ""


def continued(seen: Observed, run: RunStatus, spec: Spec) -> RunStatus:
    """Return the same run for the newest spec: the ledger knows more of it than status does."""
    fresh = {
        "generation": seen.generation,
        "work": work_digest(spec),
        "asked": asked_digest(spec),
    }
    return reopened(seen, run, spec, run.goal).model_copy(update=fresh)


def _foreign_keys(seen: Observed, before: RunStatus) -> list[str]:
    """Return what is known of ended attempts, for a run after this one."""
    return [key if key.count("/") > 1 else f"{before.id}/{key}" for key in ended_attempts(seen)]


def ended_attempts(seen: Observed) -> tuple[str, ...]:
    """Return the attempts whose containers the kubelet reported as terminated.

    Those of earlier runs have the run in front: their end may be reported after a new run began.
    """
    run = seen.status.run
    if run is None:
        return ()
    ended = {end_key(pod, run) for pod in seen.pods if needs_proof(pod)}
    return (*run.ended, *sorted(ended - set(run.ended)))[-KEPT:]


def end_key(pod: PodSeen, run: RunStatus) -> str:
    """Return the entry of `RunStatus.ended` that a Pod's end makes."""
    key = pod.attempt_key()
    return key if pod.run == run.id else f"{pod.run}/{key}"


def needs_proof(pod: PodSeen) -> bool:
    """Tell whether a Pod has ended and the ledger may still wait for the proof of that.

    Most attempts close themselves, or never reached the ledger: they would push out the few
    whose end nobody else can prove.
    """
    result = decode_result(pod.message) if pod.message else None
    writes = pod.segment not in (Segment.LOOK, Segment.DISCARD)  # these open no attempt
    return pod.ended and writes and (result is None or result.attempt_open)


def again(seen: Observed, run: RunStatus, segment: Segment) -> RunStatus:
    """Return the intent of the next attempt, started at once."""
    return run.model_copy(
        update={
            "segment": segment,
            "attempt": run.attempt + 1,
            "not_before": "",
            "ended": ended_attempts(seen),
        }
    )


def later(seen: Observed, run: RunStatus, segment: Segment, at_least: float = 0.0) -> RunStatus:
    """Return the intent of the next attempt after a backoff."""
    failures = run.failures + 1
    late = seen.now >= unix(run.deadline)
    pause = max(AFTER_DEADLINE, at_least) if late else delay(run.id, failures, at_least=at_least)
    moment = {"failures": failures, "not_before": precise(seen.now + pause)}
    return again(seen, run, segment).model_copy(update=moment)


def lost(seen: Observed, run: RunStatus) -> RunStatus:
    """Return the intent after an attempt that ended without an answer."""
    # What the database shows now is unknown: look first. A look plans the way up; the way back
    # and the abort look by themselves.
    unknown = Segment.LOOK if run.goal is Segment.MIGRATE else run.goal
    # What follows the migration writes nothing but the run's end, which is written once. So does
    # an abort: also one that ends a way back whose schema stays.
    same = {*PROBES, *AFTER_MIGRATE, Segment.ABORT}
    segment = run.segment if run.segment in same else unknown
    kept = "" if _used_answer(run, None) else run.answer
    mine = run.id if run.segment is Segment.MIGRATE else run.unfinished
    news = {"answer": kept, "unfinished": mine}
    return later(seen, run, segment).model_copy(update=news)


def reopened(seen: Observed, run: RunStatus, spec: Spec, goal: Segment) -> RunStatus:
    """Return the same run, open again with a fresh deadline, at its goal."""
    fresh = {
        "state": RunState.OPEN,
        "goal": goal,
        "failures": 0,
        "deadline": precise(seen.now + spec.limits.progress_deadline),
    }
    return again(seen, run, goal).model_copy(update=fresh)


def resumed(seen: Observed, run: RunStatus, spec: Spec, answer: str) -> RunStatus:
    """Return the same run, open again with a person's answer; an unapproved plan is shown first."""
    start = run.goal if run.approved else segments(spec, run.goal)[0]
    changes = {"segment": start, "answer": answer}
    return reopened(seen, run, spec, run.goal).model_copy(update=changes)


def _shown_again(seen: Observed, run: RunStatus, spec: Spec) -> RunStatus:
    """Return a new run that shows the plan of now; the ledger has closed the run before."""
    failures = run.failures + 1
    news = {
        "failures": failures,
        "not_before": precise(seen.now + delay(run.id, failures)),
        "database": run.database,
        "epoch": run.epoch,
        "last": run.last,
        "unfinished": run.unfinished,
    }
    return new_run(seen, spec, run.trigger, run.goal).model_copy(update=news)


def closed(run: RunStatus) -> RunStatus:
    """Return the run at its end."""
    return run.model_copy(update={"state": RunState.CLOSED, "not_before": ""})


def image_of(spec: Spec, run: RunStatus) -> str:
    """Return the image that a run's migrations come from, or "" where none holds them."""
    return run.image or spec.migrations.image or ""


def answered(seen: Observed, spec: Spec, result: Result) -> RunStatus:
    """Return what follows from the answer of the current Job."""
    assert seen.status.run is not None  # noqa: S101  # only called with a current Job
    run = noted(seen, seen.status.run, result)
    if result.wants_image_besides(image_of(spec, run)):
        return again(seen, run.model_copy(update={"image": result.image}), run.segment)
    if result.outcome is Outcome.NOT_FINISHED:
        return later(seen, run, run.segment, result.retry_after)
    if result.reason in UNAPPROVED and Segment.APPROVE in segments(spec, run.goal):
        return _shown_again(seen, run, spec)
    if run.segment is Segment.LOOK and result.outcome not in BAD:
        return _looked(seen, run, spec, result)
    return advanced(seen, run, spec) if result.goes_on else closed(run)


def advanced(seen: Observed, run: RunStatus, spec: Spec) -> RunStatus:
    """Return the run at the segment after the one that came to its end now."""
    return at_segment(seen, run, spec, following(spec, run.goal, run.segment))


def at_segment(seen: Observed, run: RunStatus, spec: Spec, segment: Segment) -> RunStatus:
    """Return the run at a later segment, with a deadline of its own."""
    step = StepStatus(name=run.segment, at=rfc3339(seen.now))
    news: dict[str, Any] = {
        "steps": (*run.release.steps, step)[-KEPT:],
        "since": precise(seen.now),
        "paused": "",
        "broken_since": "",
        "probed": False,
        "measured": (),
        "restarts": {},
    }
    if run.segment in (Segment.MIGRATE, Segment.ROLLOUT, Segment.SWITCH):
        news["changed_at"] = precise(seen.now)
    if segment in (Segment.SWITCH, Segment.SWITCH_BACK):
        # `version` stays: the write that was decided on it may still be on its way.
        news |= {"stable_since": "", "writes": 0, "reached": False, "drift": 0}
    if segment is Segment.SWITCH:
        service = seen.traffic.service if seen.traffic else None
        news |= {"switched": True, "before": dict(service.selector) if service else {}}
    window = spec.soak if segment is Segment.SOAK else 0.0
    fresh = {
        "release": run.release.model_copy(update=news),
        "failures": 0,
        "deadline": precise(seen.now + window + spec.limits.progress_deadline),
    }
    return again(seen, run.model_copy(update=fresh), segment)


def _looked(seen: Observed, run: RunStatus, spec: Spec, result: Result) -> RunStatus:
    has_steps, is_up = result.outcome is Outcome.DONE, result.direction != "down"
    # No approval is involved in a way back: an incident must not wait for one.
    gated = is_up and Segment.APPROVE in segments(spec, run.goal) and not run.approved
    if gated and has_steps:
        asks = {"segment": Segment.APPROVE, "plan_digest": result.plan_digest}
        return run.model_copy(update=asks | {"failures": 0, "not_before": ""})
    if gated and not has_release(spec):
        return closed(run)
    goes_on = is_up and (has_steps or result.goes_on)
    segment = before_writing(spec, run, result.revision if goes_on else "")
    return again(seen, _has_looked(seen, begun(seen, run)), segment)


def begun(seen: Observed, run: RunStatus) -> RunStatus:
    """Return the run with this moment as the beginning of its segment: checks count from it."""
    release = run.release.model_copy(update={"since": precise(seen.now)})
    return run.model_copy(update={"release": release})


def _has_looked(seen: Observed, run: RunStatus) -> RunStatus:
    """Return the run with its first look among its steps: after it the database may be changed."""
    if any(step.name == Segment.LOOK for step in run.release.steps):
        return run
    steps = (*run.release.steps, StepStatus(name=Segment.LOOK, at=rfc3339(seen.now)))
    return run.model_copy(update={"release": run.release.model_copy(update={"steps": steps})})


def before_writing(spec: Spec, run: RunStatus, revision: str) -> Segment:
    """Return the baseline, or the goal where there is none to be made (again).

    Only the first look of a run leads to it: after a lost migration red would no longer mean that
    nothing was done.

    Args:
        spec: Says what is measured.
        run: Says whether it was.
        revision: The last applied one; "" for none: then nothing of the application runs yet.
    """
    made = any(step.name in (Segment.LOOK, Segment.BASELINE) for step in run.release.steps)
    made = made or run.unfinished == run.id
    wanted = Segment.BASELINE in segments(spec, run.goal)
    return Segment.BASELINE if wanted and revision and not made else run.goal


def noted(seen: Observed, run: RunStatus, result: Result) -> RunStatus:
    """Return the run with what an answer says."""
    last = LastResult(
        segment=result.segment,
        attempt=result.attempt,
        outcome=result.outcome,
        reason=result.reason,
        message=result.message,
        command=result.command,
        at=rfc3339(seen.now),
    )
    before = Known(database=run.database, epoch=run.epoch)
    news = before.after(result.database_uuid, result.epoch).model_dump() | {
        "last": last,
        "holder": _holder(result.holder),
        "to": result.target or run.to,
        "answer": "" if _used_answer(run, result) else run.answer,
        "ended": ended_attempts(seen),
    }
    return run.model_copy(update=news)


def _used_answer(run: RunStatus, result: Result | None) -> bool:
    """Tell whether a person's answer is used up; what comes later is another question.

    A look changes nothing, and who never reached the ledger has asked nothing.
    """
    if run.segment is Segment.LOOK:
        return False
    heard = result is None or result.outcome is not Outcome.NOT_FINISHED
    return heard or bool(result and result.database_uuid)


def _holder(holder: Holder | None) -> HolderStatus | None:
    return None if holder is None else HolderStatus(**holder.model_dump())


def outcome_of(run: RunStatus) -> Outcome | None:
    """Return the newest outcome of the run, or None."""
    return Outcome(run.last.outcome) if run.last else None


def is_held(run: RunStatus) -> bool:
    """Tell whether the run ended with a question to a human; its row in the ledger is open."""
    return run.state is RunState.CLOSED and outcome_of(run) is Outcome.HELD


def takes_all_back(trigger: str) -> bool:
    """Tell whether a trigger is the deletion of the object (and a person's "again" after it)."""
    return trigger.partition(":")[0] == DELETED


def is_half_back(run: RunStatus) -> bool:
    """Tell whether a way back was asked for, or begun by itself, and has not come to its end."""
    if run.goal is Segment.ROLLBACK:
        return run.state is RunState.OPEN or outcome_of(run) not in BACK
    # Without a target it is a lower `to` that failed: trying again is the same migration.
    failed = run.last is not None and run.last.reason == "RollbackFailed"
    return bool(failed and run.to) and is_held(run)


def has_unknown_target(run: RunStatus) -> bool:
    """Tell whether only the ledger knows where the run's way back leads, or if it has arrived."""
    asks = run.last is not None and run.last.reason in QUESTIONS
    unknown = run.state is RunState.OPEN or (is_held(run) and asks)
    return run.goal is Segment.ROLLBACK and not run.to and unknown


def is_good(run: RunStatus) -> bool:
    """Tell whether the run ended with the schema that was asked for, read back."""
    return (
        run.state is RunState.CLOSED and run.goal is Segment.MIGRATE and (outcome_of(run) in GOOD)
    )


def was_rolled_back(run: RunStatus) -> bool:
    """Tell whether the run took its own work back, or the ledger says that one before it did."""
    known = run.last is not None and run.last.reason == "WasRolledBack"
    return known or outcome_of(run) is Outcome.ROLLED_BACK
