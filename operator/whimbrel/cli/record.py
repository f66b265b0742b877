"""The local record of an object: what `status.run` is in a cluster, as a file without secrets."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.model.order import Known, Resolution
from whimbrel.model.plan import Segment
from whimbrel.model.result import Result
from whimbrel.model.spec import Frozen
from whimbrel.model.status import RunState

EMBEDDED: Final = "embedded"


class LocalRun(Frozen):
    """The run that goes on, or was the last one.

    Attributes:
        number: Grows from run to run, as in `Order`; 0 in a record from before there were numbers.
        to: Target of a rollback.
        spec_digest: Digest of the spec that it carries out.
        attempt: The newest attempt; written before it starts.
    """

    id: str
    number: int = 0
    segment: Segment
    to: str = ""
    spec_digest: str = ""
    attempt: int = 1
    state: RunState = RunState.OPEN


class LastAnswer(Frozen):
    """The newest result, and when it was read (RFC 3339)."""

    at: str
    result: Result


class Record(Frozen):
    """What is remembered of one object between two commands.

    Attributes:
        manifest: Path of the file it was read from.
        project: Directory given with --project, or "".
        database: "embedded", or where the database is (never with a login).
        gate: Digest of the plan that waits for approval, or "".
        approved: Digest that a person approved, or "".
        retry: Token of the newest `whimbrel retry`.
    """

    version: int = 1
    namespace: str
    name: str
    uid: str
    manifest: str = ""
    project: str = ""
    database: str = EMBEDDED
    ledger_schema: str = "whimbrel"
    spec_digest: str = ""
    run: LocalRun | None = None
    known: Known = Known()
    gate: str = ""
    approved: str = ""
    retry: str = ""
    resolution: Resolution | None = None
    last: LastAnswer | None = None


def record_path(state_dir: Path, namespace: str, name: str) -> Path:
    """Return the file of a record. A namespace holds no dot, so the name is unambiguous."""
    return state_dir / "objects" / f"{namespace}.{name}.json"


def load_record(state_dir: Path, namespace: str, name: str) -> Record | None:
    """Return the record of an object, or None when there is none.

    Raises:
        RefusedError: The file is not one of ours.
    """
    path = record_path(state_dir, namespace, name)
    try:
        return Record.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError):
        raise RefusedError(
            "BadRecord", f"{path}: is not a record of whimbrel; move it away to start afresh"
        ) from None


def save_record(state_dir: Path, record: Record) -> None:
    """Write a record so that a crash leaves either the old or the new one."""
    path = record_path(state_dir, record.namespace, record.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    text = record.model_dump_json(by_alias=True, exclude_defaults=True, indent=2)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def sole_worker(state_dir: Path, namespace: str, name: str) -> Iterator[None]:
    """Hold the object for this process; the kernel lets go when the process is gone.

    Raises:
        TransientError: Another `whimbrel` works on it.
    """
    path = record_path(state_dir, namespace, name).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransientError(
                "Busy", f"another whimbrel process works on {namespace}/{name} right now"
            ) from None
        yield


def find_record(state_dir: Path, namespace: str, name: str) -> Record | None:
    """Return the record of a name; without a namespace, the only one of that name.

    Raises:
        RefusedError: Several namespaces have the name.
    """
    if namespace:
        return load_record(state_dir, namespace, name)
    found = sorted((state_dir / "objects").glob(f"*.{name}.json"))
    matches = [path.name.split(".", 1) for path in found]
    namespaces = [first for first, rest in matches if rest == f"{name}.json"]
    if len(namespaces) > 1:
        raise RefusedError(
            "Ambiguous", f"{name} is known in {', '.join(namespaces)}: say which with -n NAMESPACE"
        )
    return load_record(state_dir, namespaces[0], name) if namespaces else None


def closed_run(record: Record, *, retry: str) -> Record:
    """Return the record so that the next command begins a new run, with a retry token."""
    run = record.run and record.run.model_copy(update={"state": RunState.CLOSED})
    return record.model_copy(update={"run": run, "retry": retry, "gate": "", "approved": ""})
