"""Numbers for Prometheus, prefix whimbrel_."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from whimbrel import __version__


class Metrics:
    """All numbers of one operator."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self.turns = Counter(
            "whimbrel_reconcile",
            "Turns by the decision that came out.",
            ["decision"],
            registry=self.registry,
        )
        self.errors = Counter(
            "whimbrel_reconcile_errors",
            "Turns that ended with an error and are tried again.",
            ["error"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "whimbrel_reconcile_duration_seconds", "Length of a turn.", registry=self.registry
        )
        self.waiting = Gauge(
            "whimbrel_workqueue_depth", "Objects that wait for a turn.", registry=self.registry
        )
        self.answers = Counter(
            "whimbrel_job_answers",
            "Ends of Jobs by outcome.",
            ["segment", "outcome"],
            registry=self.registry,
        )
        self.requests = Counter(
            "whimbrel_api_requests",
            "Requests to the API server.",
            ["verb", "code"],
            registry=self.registry,
        )
        self.migrations = Gauge(
            "whimbrel_migrations", "Objects by phase.", ["phase"], registry=self.registry
        )
        self.leader = Gauge(
            "whimbrel_leader", "1 while this process leads.", registry=self.registry
        )
        self._phases: dict[tuple[str, str], str] = {}
        build = Gauge(
            "whimbrel_build_info", "Version of this process.", ["version"], registry=self.registry
        )
        build.labels(__version__).set(1)

    def show_phase(self, key: tuple[str, str], phase: str) -> None:
        """Count an object under its phase; "" for one that is gone."""
        before = self._phases.pop(key, "")
        if before:
            self.migrations.labels(before).dec()
        if phase:
            self._phases[key] = phase
            self.migrations.labels(phase).inc()
