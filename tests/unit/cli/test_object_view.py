"""What a status looks like on a screen and in a log, and when it is the end of a run."""

import pytest

from tests.blue_green import blue_green
from whimbrel.cli.object_view import ending, facts, news, observed, rows
from whimbrel.machine.decisions import Done, Hold, Wait
from whimbrel.machine.report import report
from whimbrel.machine.timestamps import rfc3339
from whimbrel.model.errors import RefusedError
from whimbrel.model.plan import Segment
from whimbrel.model.status import Phase

NOW = 1_800_000_000.0
SPEC = {
    "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
    "migrations": {"tool": "sql", "inline": {"files": {"001_a.up.sql": "SELECT 1"}}},
}
META = {"namespace": "team", "name": "shop", "uid": "u", "generation": 3}


def at(seconds: float) -> str:
    return rfc3339(NOW + seconds)


def body(status: dict, spec: dict | None = None, **meta: object) -> dict:
    return {"metadata": META | meta, "spec": SPEC | (spec or {}), "status": status}


def run(segment: str = "Migrate", **more: object) -> dict:
    started = {"id": "r", "generation": 3, "segment": segment, "startedAt": at(-100)}
    return {"state": "Open", **started, **more}


def last(outcome: str = "Done", reason: str = "Completed", command: str = "") -> dict:
    told = {"outcome": outcome, "reason": reason, "message": "so it was", "command": command}
    return {"segment": "Migrate", "attempt": 1, "at": at(-40), **told}


def check(verdicts: str, state: str = "Open", value: str = "", message: str = "") -> dict:
    words = {".": "Pass", "x": "Fail", "?": "Unknown"}
    measured = [{"at": at(-9), "verdict": words[each]} for each in verdicts]
    if measured:
        measured[-1] |= {"value": value, "message": message}
    return {"name": "api", "moment": "Soak", "state": state, "last": measured}


STEPS = [{"name": "Baseline", "at": at(-90)}, {"name": "Migrate", "at": at(-60)}]
ROWS = [
    pytest.param({}, {"object": "team/shop"}, id="nobody has looked at it yet"),
    pytest.param(
        {"checkpoint": {"id": "r", "state": "Ready", "rows": 7, "keptUntil": at(9)}},
        {"checkpoint": f"Ready until {at(9)}, 7 rows; can be restored"},
        id="a checkpoint says until when, and what it is good for",
    ),
    pytest.param(
        {"run": run("Migrate", attempt=2)},
        {"segments": f"> Migrate     {at(-100)}  0:01:40, attempt 2"},
        id="the segment that runs says since when, and its attempt",
    ),
    pytest.param(
        {"run": run("Soak", release={"steps": STEPS, "since": at(-50)})},
        {
            "segments": f"+ Baseline    {at(-90)}  0:00:10\n"
            f"+ Migrate     {at(-60)}  0:00:30\n"
            f"> Soak        {at(-50)}  0:00:50"
        },
        id="segments that are done say when, and how long they took",
    ),
    pytest.param(
        {"run": run(state="Closed", last=last())},
        {"segments": f"+ Migrate     {at(-40)}  0:01:00"},
        id="the segment that ended well",
    ),
    pytest.param(
        {"run": run(state="Closed", last=last("Failed", "Broken"))},
        {"segments": f"x Migrate     {at(-40)}  0:01:00"},
        id="the segment that failed",
    ),
    pytest.param(
        {"active": "green", "checks": [check("..x?.", "Open", "200")]},
        {"traffic": "green", "checks": "api  Soak        Open         ..x?.       200"},
        id="traffic, and a check with its measurements, oldest first",
    ),
    pytest.param(
        {"checks": [check("xxx", "Red", "500", "it should be 200")]},
        {"checks": "api  Soak        Red          xxx         500: it should be 200"},
        id="a red check says why",
    ),
    pytest.param(
        {"checks": [check("")]},
        {"checks": "api  Soak        Open"},
        id="a check without a measurement",
    ),
    pytest.param(
        {
            "run": run(
                "Rollback",
                release={
                    "red": "api (500)",
                    "stays": "an HPA owns it",
                    "scaled": [{"kind": "Deployment", "name": "green", "replicas": 3}],
                },
            )
        },
        {
            "red": "api (500)",
            "schema stays": "an HPA owns it",
            "scaled": "Deployment green (had 3)",
        },
        id="a way back says why, what it changed and what stays",
    ),
    pytest.param(
        {"gate": {"name": "Start", "token": "Start:012", "since": at(0)}},
        {"do": "whimbrel approve shop Start:012 -n team"},
        id="a gate says how it is passed",
    ),
    pytest.param(
        {"message": "held", "run": run(last=last("Held", "Held", "whimbrel retry shop"))},
        {"do": "whimbrel retry shop"},
        id="the command of what holds",
    ),
    pytest.param(
        {
            "message": "held. whimbrel retry",
            "run": run(last=last("Held", "Held", "whimbrel retry")),
        },
        {"message": "held. whimbrel retry", "do": ""},
        id="a command that the message says is not said twice",
    ),
]


@pytest.mark.parametrize(("status", "expected"), ROWS)
def test_rows_of_a_screen(status: dict, expected: dict[str, str]):
    shown = rows(observed(body(status), NOW))
    assert {key: shown.get(key) for key in expected} == expected
    assert "None" not in "".join(shown.values())


def test_segments_to_come_follow_from_the_spec():
    gated = body({"run": run("Approve")}, {"approval": {"before": ["Start"]}})
    shown = rows(observed(gated, NOW))["segments"].splitlines()
    assert [line.split()[:2] for line in shown] == [
        ["+", "Look"],
        [">", "Approve"],
        ["-", "Migrate"],
    ]


def test_segments_of_a_release_and_of_its_way_back():
    soaking = {"run": run("Soak", release={"steps": STEPS, "since": at(-50)})}
    forward = rows(observed(body(soaking, blue_green()), NOW))["segments"].splitlines()
    assert [line.split()[:2] for line in forward] == [
        ["+", "Baseline"],
        ["+", "Migrate"],
        [">", "Soak"],
        ["-", "Finish"],
    ]
    turned = run("Drain", goal="Rollback", release={"steps": STEPS, "since": at(-50)})
    back = rows(observed(body({"run": turned}, blue_green()), NOW))["segments"].splitlines()
    assert [line.split()[:2] for line in back[2:]] == [[">", "Drain"], ["-", "Rollback"]]


def test_a_spec_that_cannot_be_read_hides_only_what_is_to_come():
    odd = body({"run": run("Soak")}, {"strategy": {"type": "OfTomorrow"}})
    assert rows(observed(odd, NOW))["segments"].startswith("> Soak")


def test_fields_of_a_newer_operator_are_left_out_and_its_words_are_refused():
    assert observed(body({"phase": "Held", "ofTomorrow": {"a": 1}}), NOW).status.phase == "Held"
    with pytest.raises(RefusedError, match=r"status\.phase is none that this version"):
        observed(body({"phase": "OfTomorrow"}), NOW)


CHANGES = [
    pytest.param({}, {}, [], id="nothing"),
    pytest.param(
        {"phase": "Migrating", "message": "a"},
        {"phase": "Migrating", "message": "b"},
        ["phase: Migrating: b"],
        id="another message",
    ),
    pytest.param(
        {"run": run("Migrate")},
        {"run": run("Soak", release={"steps": STEPS[:1]}), "active": "green"},
        [
            f"done Baseline {at(-90)}: 0:00:10 after the start of the run",
            "segment: Soak, attempt 1",
            "traffic: green",
        ],
        id="a segment ends, the next one begins, the traffic moves",
    ),
    pytest.param(
        {"checks": [check("..", value="200")]},
        {"checks": [check("...", value="201")]},
        [],
        id="another value that passes is no news",
    ),
    pytest.param(
        {"checks": [check("..", value="200")]},
        {"checks": [check("..x", value="500", message="not 200")]},
        ["check api (Soak): Open ..x 500: not 200"],
        id="a failure is news",
    ),
    pytest.param(
        {"checks": [check(".x", value="500")]},
        {"checks": [check(".x.", value="200")]},
        ["check api (Soak): Open .x. 200"],
        id="a pass after a failure is news",
    ),
    pytest.param(
        {"checks": [check("..", value="200")]},
        {"checks": [check("..", "Green", value="200")]},
        ["check api (Soak): Green .. 200"],
        id="a verdict is news",
    ),
    pytest.param(
        {"gate": {"name": "Start", "token": "Start:012", "since": at(0)}},
        {},
        [],
        id="what is gone is no line",
    ),
]


@pytest.mark.parametrize(("before", "after", "lines"), CHANGES)
def test_lines_of_a_log(before: dict, after: dict, lines: list[str]):
    first, second = (facts(observed(body(each), NOW)) for each in (before, after))
    assert news(first, second) == lines
    assert news(second, second) == []


def ended(outcome: str, reason: str = "Why", **more: object) -> dict:
    return run(**{"state": "Closed", "last": last(outcome, reason), **more})


DONE, ROLLED = Done("Completed", "done"), Hold("RolledBack", "back", "", Phase.ROLLED_BACK)
ENDS = [
    pytest.param(DONE, ended("Done"), 0, id="completed"),
    pytest.param(Done("DatabaseAhead", "newer"), ended("DatabaseAhead"), 0, id="ahead"),
    pytest.param(ROLLED, ended("RolledBack"), 1, id="rolled back by itself"),
    pytest.param(ROLLED, ended("Done", goal="Rollback"), 1, id="rolled back as a person asked"),
    pytest.param(Hold("Why", "no", "", Phase.FAILED), ended("Failed"), 1, id="failed, as before"),
    pytest.param(Hold("Why", "no", "", Phase.FAILED), ended("Refused"), 2, id="refused"),
    pytest.param(
        Hold("InvalidSpec", "no", phase=Phase.FAILED),
        ended("Done"),
        2,
        id="refused although the run before was good",
    ),
    pytest.param(Hold("Why", "no", "do it", Phase.HELD), ended("Held"), 3, id="held"),
    pytest.param(
        Hold("Why", "no", "", Phase.ROLLBACK_FAILED), ended("Failed"), 3, id="stuck on the way back"
    ),
    pytest.param(
        Wait(Phase.FAILED, "DeadlineExceeded", "late", human="x", stalled=True),
        run(last=last("NotFinished", "DatabaseAway")),
        75,
        id="gave up at the deadline, looks again by itself",
    ),
    pytest.param(
        Wait(Phase.MIGRATING, "DeadlineExceeded", "late", human="x", stalled=True),
        run(),
        3,
        id="runs beyond the deadline until a person stops it",
    ),
    pytest.param(
        Wait(Phase.MIGRATING, "Progressing", "works", human="x"), run(), None, id="migrating"
    ),
    pytest.param(
        Wait(Phase.AWAITING_APPROVAL, "AwaitingApproval", "plan", human="x"),
        run("Approve"),
        None,
        id="a gate is waited at",
    ),
]


def reported(decision: object, going: dict) -> dict:
    """Return the body that the operator would write with this decision."""
    seen = observed(body({"run": going}), NOW)
    status = report(seen, decision)
    return body(status.model_dump(mode="json", by_alias=True, exclude_none=True))


@pytest.mark.parametrize(("decision", "going", "code"), ENDS)
def test_ends_and_their_exit_codes(decision: object, going: dict, code: int | None):
    assert ending(observed(reported(decision, going), NOW)) == code


@pytest.mark.parametrize(("decision", "going", "code"), ENDS)
def test_a_generation_that_nobody_has_seen_is_no_end(decision: object, going: dict, code: object):
    newer = reported(decision, going)
    newer["metadata"] = newer["metadata"] | {"generation": 4}
    assert ending(observed(newer, NOW)) is None


@pytest.mark.parametrize("which", ["retry-requested-at", "rollback-requested-at"])
def test_a_request_that_was_not_carried_out_yet_is_no_end(which: str):
    asked = reported(DONE, ended("Done"))
    asked["metadata"] = asked["metadata"] | {"annotations": {f"whimbrel.dev/{which}": "now"}}
    assert ending(observed(asked, NOW)) is None
    asked["status"]["handled"] = {which.partition("-")[0]: "now"}
    assert ending(observed(asked, NOW)) == 0


def test_an_answer_to_what_holds_is_no_end_until_it_was_heard():
    held = reported(Hold("Why", "no", "do it", Phase.HELD), ended("Held"))
    said = {"whimbrel.dev/resolve": "LedgerAccepted:r", "whimbrel.dev/resolve-at": "now"}
    held["metadata"] = held["metadata"] | {"annotations": said}
    assert ending(observed(held, NOW)) is None
    held["status"]["handled"] = {"resolve": "LedgerAccepted:r", "resolveAt": "now"}
    assert ending(observed(held, NOW)) == 3


def test_soaking_is_ready_and_no_end():
    soaking = reported(DONE, ended("Done"))
    kept = [each for each in soaking["status"]["conditions"] if each["type"] == "Ready"]
    soaking["status"] |= {"conditions": kept, "phase": "Soaking"}
    assert ending(observed(soaking, NOW)) is None


def test_every_segment_fits_its_column():
    assert max(len(each) for each in Segment) <= len("PostMigrate")
