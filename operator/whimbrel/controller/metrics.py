"""Numbers for Prometheus, prefix whimbrel_; CPU and memory under their usual names."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from whimbrel import __version__


class Metrics:
    """All numbers of one operator."""

    def __init__(self) -> None:
        known = self.registry = CollectorRegistry()
        ProcessCollector(registry=known)
        self.turns = Counter(
            "whimbrel_reconcile",
            "Turns by the decision that came out.",
            ["decision"],
            registry=known,
        )
        self.errors = Counter(
            "whimbrel_reconcile_errors",
            "Turns that failed, tried again.",
            ["error"],
            registry=known,
        )
        self.seconds = Histogram(
            "whimbrel_reconcile_duration_seconds", "Length of a turn.", registry=known
        )
        self.waiting = Gauge(
            "whimbrel_workqueue_depth", "Objects that wait for a turn.", registry=known
        )
        self.answers = Counter(
            "whimbrel_job_answers", "Ends of Jobs.", ["segment", "outcome"], registry=known
        )
        self.switches = Counter(
            "whimbrel_switches", "Writes of a Service's selector.", ["side"], registry=known
        )
        self.requests = Counter(
            "whimbrel_api_requests", "Requests to the API server.", ["verb", "code"], registry=known
        )
        self.migrations = Gauge(
            "whimbrel_migrations", "Objects by phase.", ["phase"], registry=known
        )
        self.leader = Gauge("whimbrel_leader", "1 while this process leads.", registry=known)
        self._phases: dict[tuple[str, str], str] = {}
        build = Gauge("whimbrel_build_info", "Version.", ["version"], registry=known)
        build.labels(__version__).set(1)

    def show_phase(self, key: tuple[str, str], phase: str) -> None:
        """Count an object under its phase; "" for one that is gone."""
        before = self._phases.pop(key, "")
        if before:
            self.migrations.labels(before).dec()
        if phase:
            self._phases[key] = phase
            self.migrations.labels(phase).inc()
