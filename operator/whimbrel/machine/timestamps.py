"""RFC 3339 texts and Unix seconds, both ways. No clock: the moment is always given."""

from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """Return Unix seconds as Kubernetes writes times: UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise(seconds: float) -> str:
    """Return Unix seconds with milliseconds, for moments that we wait for."""
    moment = datetime.fromtimestamp(round(seconds, 3), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix(text: str) -> float:
    """Return the Unix seconds of an RFC 3339 text; 0 for ""."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0
