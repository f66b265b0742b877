"""Like `tests.refusals`, for what follows a migration."""

from typing import Any

from tests.refusals import Refusal

Body = dict[str, Any]
ORDER = "write a timeout that is not longer than the interval, and both longer than zero"
JOB_TIMEOUT = "write a timeout from 1s to 24h for a check of type Job"
ONE_MEMBER = (
    "give the options of the check under the member of its type alone: "
    "http, tcp, sql, prometheus, workload or job"
)
LOOKS_BACK = (
    "write an initialDelay as long as the longest range of the query with its offset, or "
    "[{{.sinceSwitch}}] for the range: what was before the switch would be judged"
)
UNKNOWN = (
    "write ranges and offsets of the query in h, m, s or ms, and no @: else nobody knows whether "
    "what was before the switch would be judged"
)
TCP = {"type": "TCP", "tcp": {"service": "shop", "port": 80}}
SIDE = {"selector": {"app": "shop"}, "workloadRef": {"name": "shop"}}
SMOKE = {"image": "shop:1", "command": ["smoke"]}


def checked(**check: Any) -> Body:
    """Return the change that gives a spec one check."""
    return {"healthChecks": [{"name": "smoke", "type": "Job", "when": ["PostMigrate"]} | check]}


RELEASE_REFUSALS = (
    Refusal(
        "a measurement that is longer than its interval",
        checked(timeout="11s", **TCP),
        "spec.healthChecks[0]",
        ORDER,
    ),
    Refusal(
        "no time between two measurements",
        checked(job=SMOKE, interval="0s"),
        "spec.healthChecks[0]",
        ORDER,
    ),
    Refusal(
        "a Job that would hold a release for days",
        checked(job=SMOKE, timeout="25h"),
        "spec.healthChecks[0]",
        JOB_TIMEOUT,
    ),
    Refusal(
        "a Job that cannot even start in time",
        checked(job=SMOKE, timeout="500ms"),
        "spec.healthChecks[0]",
        JOB_TIMEOUT,
    ),
    Refusal(
        "a range that looks back at the time before the switch",
        checked(
            type="Prometheus",
            initialDelay="1m",
            prometheus={
                "url": "http://prometheus:9090",
                "query": "sum(rate(failed[30s])) / sum(rate(asked[1m30s]))",
                "expect": {"op": "Less", "value": "0.01"},
            },
        ),
        "spec.healthChecks[0]",
        LOOKS_BACK,
    ),
    *(
        Refusal(
            f"a query that looks back further than it says: {query}",
            checked(
                type="Prometheus",
                initialDelay="30s",
                prometheus={
                    "url": "http://prometheus:9090",
                    "query": query,
                    "expect": {"op": "Less", "value": "0.01"},
                },
            ),
            "spec.healthChecks[0]",
            told,
        )
        for query, told in (
            ("rate(failed[30s] offset 10m)", LOOKS_BACK),
            ("failed offset 1h", LOOKS_BACK),
            ("rate(failed[ 5m ])", LOOKS_BACK),
            ("failed @ 1609746000", UNKNOWN),
            ("rate(failed[1d])", UNKNOWN),
            ("rate(failed[1w])", UNKNOWN),
        )
    ),
    Refusal(
        "a gate before a switch that never comes",
        {"approval.before": ["Switch"]},
        "spec",
        "Switch is a gate of strategy BlueGreen; write Start, or leave it out",
    ),
    Refusal(
        "a check by the name of ours",
        checked(name="identity", **TCP),
        "spec",
        "identity is the name of the check of strategy.blueGreen.identity: choose another",
    ),
    Refusal(
        "a check in a soak that never comes",
        checked(when=["Soak"], **TCP),
        "spec",
        "write spec.soak longer than zero: a check is made in a soak that never comes",
    ),
    Refusal(
        "a check at a switch that never comes",
        checked(when=["PreSwitch"], **TCP),
        "spec",
        "PreSwitch and PostSwitch are moments of strategy BlueGreen; write PostMigrate or Soak "
        "instead",
    ),
    Refusal(
        "a strategy without its options",
        {"strategy": {"type": "BlueGreen"}},
        "spec.strategy",
        "give strategy.blueGreen with type BlueGreen, strategy.rolling with type Rolling, and "
        "neither with Transactional or Checkpoint",
    ),
    Refusal(
        "options of another strategy",
        {"strategy": {"rolling": {"workloadRefs": [{"name": "shop"}]}}},
        "spec.strategy",
        "give strategy.blueGreen with type BlueGreen, strategy.rolling with type Rolling, and "
        "neither with Transactional or Checkpoint",
    ),
    Refusal(
        "two sides that are one",
        {
            "strategy": {
                "type": "BlueGreen",
                "blueGreen": {"activeService": "shop", "blue": SIDE, "green": SIDE},
            }
        },
        "spec.strategy.blueGreen",
        "blue and green need two selectors and two workloads that differ",
    ),
    Refusal("a Job without one", checked(), "spec.healthChecks[0]", ONE_MEMBER),
    Refusal(
        "a Job that is to run the image's own command",
        checked(job=SMOKE | {"command": []}),
        "spec.healthChecks[0].job.command",
        "spec.healthChecks[0].job.command in body should have at least 1 items",
        "at least 1 item",
    ),
)
