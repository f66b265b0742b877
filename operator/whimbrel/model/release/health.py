"""Health checks: what is measured, when, and what counts as well."""

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, model_validator

from whimbrel.model.bounds import (
    Duration,
    FilePath,
    Frozen,
    HttpUrl,
    ImageName,
    Label,
    require,
    rules,
)
from whimbrel.model.release.look_back import (
    OFFSET,
    OFFSET_ENDS,
    RANGE,
    RANGE_BEGINS,
    UNKNOWN,
    look_back,
    looks_back_unknown,
)
from whimbrel.model.release.workloads import WorkloadRef

MOST_CHECKS: Final = 10  # their last measurements fit into one termination message
_MEMBERS: Final = {
    "HTTP": "http",
    "TCP": "tcp",
    "SQL": "sql",
    "Prometheus": "prometheus",
    "Workload": "workload",
    "Job": "job",
}
_ONE_MEMBER: Final = (
    "give the options of the check under the member of its type alone: "
    "http, tcp, sql, prometheus, workload or job"
)
_ORDER: Final = "write a timeout that is not longer than the interval, and both longer than zero"
_LONGEST: Final = "write a timeout from 1s to 24h for a check of type Job"
_MOST_SECONDS: Final = 86_400
_LOOKS_BACK: Final = (
    "write an initialDelay as long as the longest range of the query with its offset, or "
    "[{{.sinceSwitch}}] for the range: what was before the switch would be judged"
)
_UNKNOWN: Final = (
    "write ranges and offsets of the query in h, m, s or ms, and no @: else nobody knows whether "
    "what was before the switch would be judged"
)
_BEFORE: Final = (
    "!has(self.prometheus) || self.when.all(moment, moment in ['Baseline', 'PreSwitch'])"
)


class CheckType(StrEnum):
    """What a check asks."""

    HTTP = "HTTP"
    TCP = "TCP"
    SQL = "SQL"
    PROMETHEUS = "Prometheus"
    WORKLOAD = "Workload"
    JOB = "Job"

    @property
    def asks_the_cluster(self) -> bool:
        """Tell whether the controller answers it; the others are measured in a probe Job."""
        return self in (CheckType.WORKLOAD, CheckType.JOB)


class Moment(StrEnum):
    """When a check is made."""

    BASELINE = "Baseline"
    POST_MIGRATE = "PostMigrate"
    PRE_SWITCH = "PreSwitch"
    POST_SWITCH = "PostSwitch"
    SOAK = "Soak"


# Moments at which nothing has been switched yet.
_BEFORE_SWITCH: Final = frozenset({Moment.BASELINE, Moment.PRE_SWITCH})


class OnFail(StrEnum):
    """What a red check asks for."""

    ROLLBACK = "Rollback"
    PAUSE = "Pause"
    IGNORE = "Ignore"


class Comparison(StrEnum):
    """How a measured value is compared."""

    EQUAL = "Equal"
    NOT_EQUAL = "NotEqual"
    LESS = "Less"
    LESS_OR_EQUAL = "LessOrEqual"
    GREATER = "Greater"
    GREATER_OR_EQUAL = "GreaterOrEqual"


class Scheme(StrEnum):
    """How an HTTP check is made."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"


class Expect(Frozen):
    """What a value must be."""

    op: Comparison = Field(description="How the value is compared.")
    value: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="What it is compared with; as numbers where both are."
    )


Host = Annotated[str, Field(min_length=1, max_length=253)]
Port = Annotated[int, Field(ge=1, le=65535)]
Status = Annotated[int, Field(ge=100, le=599)]


class HttpCheck(Frozen):
    """A request; redirects are not followed, and certificates are verified."""

    service: Host = Field(
        description="A Service of this namespace, or another host name that the probe's Pod finds."
    )
    port: Port = Field(80, description="Its port.")
    path: FilePath = Field("/", description="Path and query.")
    scheme: Scheme = Field(Scheme.HTTP, description="HTTP or HTTPS.")
    host: Annotated[str, Field(max_length=253)] = Field(
        "", description="Host header; the service by default."
    )
    status_from: Status = Field(200, description="Lowest status that is well.")
    status_to: Status = Field(299, description="Highest status that is well.")
    contains: Annotated[str, Field(max_length=1024)] = Field(
        "", description="A text that the body must contain, within its first 64 KiB."
    )


class TcpCheck(Frozen):
    """A connection; nothing is sent."""

    service: Host = Field(description="A Service of this namespace, or another host name.")
    port: Port = Field(description="Its port.")


class SqlCheck(Frozen):
    """One value of one row, read in a read-only transaction of the object's own database."""

    query: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        description="A query that gives one row with one column."
    )
    expect: Expect = Field(description="What it must be.")


class PrometheusCheck(Frozen):
    """One value of an instant query."""

    url: HttpUrl = Field(
        description="Where Prometheus answers, for example http://prometheus.monitoring:9090."
    )
    query: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        description="PromQL that gives one value; {{.sinceSwitch}} becomes the time since the "
        "migration, the rollout or the switch (30s), so that what was before is not judged."
    )
    expect: Expect = Field(description="What it must be.")


class WorkloadCheck(Frozen):
    """A workload whose rollout is complete, as the controller sees it."""

    ref: WorkloadRef = Field(description="The workload.")
    max_restarts: Annotated[int, Field(ge=0, le=1000)] = Field(
        0, description="Restarts of its containers since the moment began that are still well."
    )


Argument = Annotated[str, Field(max_length=4096)]


class JobCheck(Frozen):
    """A Job of this namespace for each measurement: exit code 0 is a pass, any other is not."""

    image: ImageName = Field(description="The image that measures.")
    command: Annotated[tuple[Argument, ...], Field(min_length=1, max_length=64)] = Field(
        description="Program and arguments, without a shell."
    )


class HealthCheck(Frozen):
    """One check."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                " && ".join(
                    f"(self.type == '{kind}') == has(self.{member})"
                    for kind, member in _MEMBERS.items()
                ),
                _ONE_MEMBER,
            ),
            (
                "duration(self.interval) > duration('0s') && (!has(self.timeout) "
                "|| duration(self.timeout) > duration('0s') && (self.type == 'Job' "
                "|| duration(self.timeout) <= duration(self.interval)))",
                _ORDER,
            ),
            (
                "self.type != 'Job' || !has(self.timeout) || (duration(self.timeout) >= "
                f"duration('1s') && duration(self.timeout) <= duration('{_MOST_SECONDS}s'))",
                _LONGEST,
            ),
            (
                f"{_BEFORE} || self.prometheus.query.findAll(r'{RANGE}').all(range, "
                "duration(range.substring(1, size(range) - 1).trim()) <= "
                "duration(self.initialDelay)) && "
                f"self.prometheus.query.findAll(r'{OFFSET}').all(each, duration('0s' + "
                f"each.find(r'{RANGE_BEGINS}').replace('[', '').trim()) + "
                f"duration(each.find(r'{OFFSET_ENDS}')) <= duration(self.initialDelay))",
                _LOOKS_BACK,
            ),
            (f'{_BEFORE} || !self.prometheus.query.matches(r"""{UNKNOWN}""")', _UNKNOWN),
        )
    )
    name: Annotated[Label, Field(min_length=1, max_length=40)] = Field(
        description="Its name, in status and messages."
    )
    type: CheckType = Field(description="What it asks; its options stand under the same name.")
    when: Annotated[tuple[Moment, ...], Field(min_length=1, max_length=5)] = Field(
        description="When it is made. Baseline: before anything is written, red is a refusal.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    http: HttpCheck | None = Field(None, description="Options of type HTTP.")
    tcp: TcpCheck | None = Field(None, description="Options of type TCP.")
    sql: SqlCheck | None = Field(None, description="Options of type SQL.")
    prometheus: PrometheusCheck | None = Field(None, description="Options of type Prometheus.")
    workload: WorkloadCheck | None = Field(None, description="Options of type Workload.")
    job: JobCheck | None = Field(None, description="Options of type Job.")
    interval: Duration = Field(10.0, description="Time from one measurement to the next.")
    timeout: Duration | None = Field(
        None,
        description="Longest time of one measurement: 5s (the interval, if that is shorter) by "
        "default, 2m for a Job, whose next measurement begins when the one before has ended.",
    )
    initial_delay: Duration = Field(0.0, description="Time before the first one of a moment.")
    success_threshold: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="Measurements in a row that make it green, outside of a soak."
    )
    failure_threshold: Annotated[int, Field(ge=1, le=100)] = Field(
        3, description="Failed measurements in a row that make it red."
    )
    unknown_threshold: Annotated[int, Field(ge=1, le=100)] = Field(
        5, description="Measurements in a row without an answer that make it inconclusive."
    )
    on_fail: OnFail = Field(OnFail.ROLLBACK, description="What red asks for.")
    on_unknown: OnFail = Field(OnFail.PAUSE, description="What inconclusive asks for.")

    @model_validator(mode="after")
    def _one_member(self) -> Self:
        given = {member for member in _MEMBERS.values() if getattr(self, member) is not None}
        require(given == {_MEMBERS[self.type]}, _ONE_MEMBER)
        is_job = self.type is CheckType.JOB
        timeout = self.interval if self.timeout is None else self.timeout
        require(self.interval > 0 and timeout > 0, _ORDER)
        require(is_job or timeout <= self.interval, _ORDER)
        require(not is_job or self.timeout is None or 1 <= timeout <= _MOST_SECONDS, _LONGEST)
        if self.prometheus is not None and not _BEFORE_SWITCH.issuperset(self.when):
            require(not looks_back_unknown(self.prometheus.query), _UNKNOWN)
            require(look_back(self.prometheus.query) <= self.initial_delay, _LOOKS_BACK)
        return self


HealthChecks = Annotated[tuple[HealthCheck, ...], Field(max_length=MOST_CHECKS)]


def checks_at(checks: tuple[HealthCheck, ...], moment: Moment) -> tuple[HealthCheck, ...]:
    """Return the checks of a moment, in order."""
    return tuple(check for check in checks if moment in check.when)
