"""Who we are without a cluster: the object's uid, and the host."""

import socket
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

NAMESPACE: Final = uuid.UUID("6f2f4a86-3b1d-5f0e-9c57-2a8d6f1b7c10")


def object_uid(state_dir: Path, owner: str) -> str:
    """Return the uid of an object, the same for the same state directory and namespace/name."""
    return str(uuid.uuid5(NAMESPACE, f"{state_dir.resolve()}\0{owner}"))


def local_cluster() -> str:
    """Return the word that stands for the cluster in the ledger."""
    return f"local:{socket.gethostname()}"


def new_run_id() -> str:
    """Return an id that no other run has."""
    return uuid.uuid4().hex[:20]


def now() -> str:
    """Return the time, RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="seconds")
