"""What the Deployment sets by environment variables, read once at the start."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The operator's settings.

    Attributes:
        image: The operator's own image; runner and launcher come from it.
        namespaces: Namespaces that are watched; empty for all.
        workers: Objects that are worked on at the same time.
        resync: Seconds between two looks at everything.
        pod_logs: The chart allows `pods/log`.
        identity: Name of this Pod, for the Lease and Events.
        home: Namespace of the operator itself.
        lease: Name of the Lease; "" for no leader election.
        port: Of /healthz, /readyz and /metrics.
    """

    image: str
    namespaces: tuple[str, ...] = ()
    workers: int = 8
    resync: float = 300.0
    pod_logs: bool = False
    identity: str = "whimbrel"
    home: str = "whimbrel-system"
    lease: str = "whimbrel"
    port: int = 8080
    log_level: str = "INFO"


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings of an environment.

    Raises:
        ValueError: A number is none, or the image is not named.
    """
    image = environ.get("WHIMBREL_IMAGE", "")
    if not image:
        raise ValueError("WHIMBREL_IMAGE must name the operator's own image: Jobs run it")
    return Settings(
        image=image,
        namespaces=tuple(
            part for part in environ.get("WHIMBREL_NAMESPACES", "").split(",") if part
        ),
        workers=int(environ.get("WHIMBREL_WORKERS", "8")),
        resync=float(environ.get("WHIMBREL_RESYNC_SECONDS", "300")),
        pod_logs=environ.get("WHIMBREL_POD_LOGS", "false") == "true",
        identity=environ.get("POD_NAME", "whimbrel"),
        home=environ.get("POD_NAMESPACE", "whimbrel-system"),
        lease=environ.get("WHIMBREL_LEASE", "whimbrel"),
        port=int(environ.get("WHIMBREL_PORT", "8080")),
        log_level=environ.get("WHIMBREL_LOG_LEVEL", "INFO"),
    )
