"""An object of the cluster as a person reads it: rows for a screen, facts for a log. Pure."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError

from whimbrel.machine.requests import resolve_value, wanted_trigger
from whimbrel.machine.runs import is_held
from whimbrel.machine.segments import segments
from whimbrel.machine.timestamps import unix
from whimbrel.model.errors import RefusedError, SpecError
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.release.checked import CheckStatus, Verdict
from whimbrel.model.result import EXIT_CODES
from whimbrel.model.spec import Spec, parse_spec
from whimbrel.model.status import Phase, RunState, RunStatus, Status

MARKS: Final = {Verdict.PASSED: ".", Verdict.FAILED: "x", Verdict.UNKNOWN: "?"}
DONE, NOW, TO_COME = "+", ">", "-"

UNTIMED: Final = frozenset({Segment.LOOK, Segment.APPROVE})  # no entry in `release.steps`
_CODES: Final = {str(outcome): code for outcome, code in EXIT_CODES.items()}

Facts = dict[str, tuple[str, str]]


def observed(raw: dict[str, Any], now: float) -> Observed:
    """Return an object as the API server shows it; what a newer operator adds is left out.

    Args:
        raw: Its body.
        now: Unix seconds.

    Raises:
        RefusedError: Its status has words that this version does not know.
    """
    meta = raw["metadata"]
    return Observed(
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta.get("uid", ""),
        generation=meta.get("generation", 0),
        spec=_spec(raw),
        status=_status(raw),
        now=now,
        annotations=dict(meta.get("annotations") or {}),
    )


def _spec(raw: dict[str, Any]) -> Spec | None:
    try:
        return parse_spec(raw.get("spec") or {})
    except SpecError:
        return None


def _status(raw: dict[str, Any]) -> Status:
    try:
        return Status.model_validate(raw.get("status") or {}, extra="ignore")
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
        raise RefusedError(
            "CommandTooOld",
            f"status.{where} is none that this version of whimbrel knows; "
            "install the version of the operator, or read it with -o yaml",
        ) from None


def rows(seen: Observed) -> dict[str, str]:
    """Return what the object says, line by line; a value may have several lines, or none."""
    status, run = seen.status, seen.status.run
    shown = {
        "object": f"{seen.namespace}/{seen.name}",
        "phase": str(status.phase or ""),
        "message": status.message,
        "strategy": status.strategy,
        "database": status.database,
        "revision": status.revision,
        "progress": status.progress,
        "job": status.job,
        "fence": status.fence,
        "checkpoint": status.checkpoint.sentence() if status.checkpoint else "",
        "segments": "\n".join(_segment_lines(seen, run)) if run else "",
        "traffic": status.active,
        "checks": "\n".join(_check_lines(status.checks)),
    }
    return shown | _way_back(run) | {"do": _command(seen)}


def conditions(seen: Observed) -> dict[str, str]:
    """Return the conditions, line by line."""
    return {each.type: f"{each.status} ({each.reason})" for each in seen.status.conditions}


def _segment_lines(seen: Observed, run: RunStatus) -> Iterator[str]:
    """Yield a line for each segment that is done, that runs, and that is to come."""
    before = run.started_at
    plan = segments(seen.spec, run.goal) if seen.spec else ()
    position = plan.index(run.segment) if run.segment in plan else len(plan)
    timed = {step.name for step in run.release.steps}
    if run.goal is Segment.MIGRATE:
        yield from (f"{DONE} {name}" for name in plan[:position] if name in UNTIMED)
    for step in run.release.steps:
        yield f"{DONE} {step.name:<11} {step.at}  {_took(before, step.at)}"
        before = step.at
    if run.state is RunState.OPEN:
        yield _running_line(seen, run, run.release.since or before)
        yield from (f"{TO_COME} {name}" for name in plan[position + 1 :])
    elif run.last is not None and run.segment not in timed:
        mark = DONE if _CODES.get(run.last.outcome) == 0 else MARKS[Verdict.FAILED]
        yield f"{mark} {run.segment:<11} {run.last.at}  {_took(before, run.last.at)}"


def _running_line(seen: Observed, run: RunStatus, since: str) -> str:
    elapsed = timedelta(seconds=max(0, int(seen.now - unix(since))))
    attempt = f", attempt {run.attempt}" if run.attempt > 1 else ""
    return f"{NOW} {run.segment:<11} {since}  {elapsed}{attempt}"


def _took(start: str, end: str) -> str:
    return str(timedelta(seconds=max(0, int(unix(end) - unix(start)))))


def _check_lines(checks: tuple[CheckStatus, ...]) -> Iterator[str]:
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        marks = "".join(MARKS[each.verdict] for each in check.last)
        head = f"{check.name:<{width}}  {check.moment:<11} {check.state:<12}"
        yield f"{head} {marks:<10}  {_newest(check)}".rstrip()


def _newest(check: CheckStatus) -> str:
    """Return the newest value, and what is wrong with it."""
    if not check.last:
        return ""
    newest = check.last[-1]
    return ": ".join(part for part in (newest.value, newest.message) if part)


def _way_back(run: RunStatus | None) -> dict[str, str]:
    """Return what decided to go back or to wait, and what the way back has changed or left."""
    if run is None:
        return {}
    release = run.release
    scaled = (f"{each.kind} {each.name} (had {each.replicas})" for each in release.scaled)
    return {
        "red": release.red,
        "paused": release.paused,
        "schema stays": release.stays,
        "scaled": ", ".join(scaled),
    }


def _command(seen: Observed) -> str:
    """Return what a person can do, where the message does not say it."""
    gate, run = seen.status.gate, seen.status.run
    if gate is not None and gate.token:
        return f"whimbrel approve {seen.name} {gate.token} -n {seen.namespace}"
    command = run.last.command if run is not None and run.last is not None else ""
    return "" if command in seen.status.message else command


def news(before: Facts, now: Facts) -> list[str]:
    """Return a line for each fact that is new or another one."""
    return [
        f"{key}: {text}"
        for key, (text, compared) in now.items()
        if text and (key not in before or before[key][1] != compared)
    ]


def facts(seen: Observed) -> Facts:
    """Return text by subject, each with what is compared: a line of a log is worth a change."""
    status, run = seen.status, seen.status.run
    found = {"phase": f"{status.phase}: {status.message}" if status.phase else ""}
    if run is not None:
        found |= {f"done {step.name} {step.at}": _since(run, step.at) for step in run.release.steps}
        found["segment"] = f"{run.segment}, attempt {run.attempt}" if _is_open(run) else ""
    found |= {"traffic": status.active, "progress": status.progress} | _way_back(run)
    plain = {key: (text, text) for key, text in (found | {"do": _command(seen)}).items()}
    return plain | {f"check {each.name} ({each.moment})": _check(each) for each in status.checks}


def _is_open(run: RunStatus) -> bool:
    return run.state is RunState.OPEN


def _since(run: RunStatus, moment: str) -> str:
    return f"{_took(run.started_at, moment)} after the start of the run"


def _check(check: CheckStatus) -> tuple[str, str]:
    """Return a check's newest measurement; another value that passes too is no news."""
    verdict = check.last[-1].verdict if check.last else Verdict.UNKNOWN
    marks = "".join(MARKS[each.verdict] for each in check.last)
    text = f"{check.state} {marks} {_newest(check)}".rstrip()
    good = verdict is Verdict.PASSED
    return text, f"{check.state} {verdict}" if good else f"{check.state} {_newest(check)}"


def ending(seen: Observed) -> int | None:
    """Return the exit code that the end of the run stands for; None while it goes on."""
    true = {each.type: each.reason for each in seen.status.conditions if each.status == "True"}
    if _has_news_for_the_operator(seen) or not {"Completed", "Stalled"} & set(true):
        return None
    return _stalled(seen.status, true["Stalled"]) if "Stalled" in true else 0


def _has_news_for_the_operator(seen: Observed) -> bool:
    """Tell whether the status speaks of the time before a change that a person has made."""
    run = seen.status.run
    if seen.status.observed_generation != seen.generation or wanted_trigger(seen):
        return True
    return bool(run is not None and is_held(run) and resolve_value(seen, run))


def _stalled(status: Status, reason: str) -> int:
    run = status.run
    match status.phase:
        case Phase.ROLLED_BACK:
            return 1
        case Phase.FAILED if run is not None and run.last is not None and run.last.reason == reason:
            return _CODES.get(run.last.outcome, 3)
        case Phase.FAILED:
            return 75 if reason == "DeadlineExceeded" else 2
        case _:
            return 3
