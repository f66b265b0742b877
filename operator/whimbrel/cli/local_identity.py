"""Who we are without a cluster: the object's uid, the host, and this very process."""

import os
import socket
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from whimbrel.runner.surroundings import ProcessIdentity

NAMESPACE: Final = uuid.UUID("6f2f4a86-3b1d-5f0e-9c57-2a8d6f1b7c10")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_SELF: Final = Path("/proc/self/stat")


def object_uid(state_dir: Path, owner: str) -> str:
    """Return the uid of an object, the same for the same state directory and namespace/name."""
    return str(uuid.uuid5(NAMESPACE, f"{state_dir.resolve()}\0{owner}"))


def local_cluster() -> str:
    """Return the word that stands for the cluster in the ledger."""
    return f"local:{socket.gethostname()}"


def this_process() -> ProcessIdentity | None:
    """Return the identity that the fence proof `Process` needs; None where there is no /proc."""
    try:
        boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
        # The second field is the command in parentheses and may hold blanks (proc(5)).
        after = _SELF.read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return ProcessIdentity(socket.gethostname(), boot_id, os.getpid(), int(after[19]))


def new_run_id() -> str:
    """Return an id that no other run has."""
    return uuid.uuid4().hex[:20]


def now() -> str:
    """Return the time, RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="seconds")
