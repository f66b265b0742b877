"""From a manifest and a record to the next order, and from a result to the next record. Pure."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from whimbrel.cli.manifest import Manifest
from whimbrel.cli.record import LastAnswer, LocalRun, Record
from whimbrel.model.order import Order
from whimbrel.model.plan import Segment
from whimbrel.model.result import Outcome, Result
from whimbrel.model.spec import Gate, Spec
from whimbrel.model.status import RunState


@dataclass(frozen=True)
class Errand:
    """What a command wants done.

    Attributes:
        to: Target of a rollback: a revision, "base", or "" for "before the newest run".
        run: Id for the run, where a new one begins.
        at: Now, Unix seconds.
    """

    segment: Segment
    run: str
    at: int
    to: str = ""


def spec_digest(spec: Spec) -> str:
    """Return the digest of what the spec asks for; a consent to data loss is no other spec."""
    text = spec.model_dump_json(by_alias=True, exclude={"rollback": {"allow_data_loss"}})
    return hashlib.sha256(text.encode()).hexdigest()


def record_of(before: Record | None, manifest: Manifest, identity: Record) -> Record:
    """Return the record that the next command starts from.

    Args:
        before: The record as found, or None.
        manifest: What is asked for now.
        identity: A fresh record with name, uid, database and project of now.
    """
    same_database = before is not None and before.database == identity.database
    kept = before if before is not None and same_database else identity
    return kept.model_copy(
        update={
            "manifest": str(manifest.path),
            "project": identity.project or (before.project if before else ""),
            "ledger_schema": manifest.spec.database.ledger_schema,
            "spec_digest": spec_digest(manifest.spec),
        }
    )


def begin_attempt(record: Record, errand: Errand) -> Record:
    """Return the record as it must be on disk before the attempt starts.

    A run that was killed, waits or was resolved goes on with its id; everything else is a new run.
    """
    run = record.run
    if run is not None and _goes_on(run, record, errand):
        following = run.model_copy(update={"attempt": run.attempt + 1})
    else:
        following = LocalRun(
            id=errand.run,
            # Not a count: it must grow even where the record was lost.
            number=max(errand.at, run.number + 1 if run else 0),
            segment=errand.segment,
            to=errand.to,
            spec_digest=record.spec_digest,
        )
    return record.model_copy(update={"run": following})


def _goes_on(run: LocalRun, record: Record, errand: Errand) -> bool:
    return (
        run.state is RunState.OPEN
        and (run.segment, run.to) == (errand.segment, errand.to)
        and run.spec_digest == record.spec_digest
    )


def order_of(record: Record, spec: Spec, cluster: str, deadline: float) -> Order:
    """Return the order of the attempt that the record holds; `deadline` in Unix seconds."""
    run = record.run
    if run is None:
        raise AssertionError("begin_attempt gives the record a run")
    return Order(
        segment=run.segment,
        namespace=record.namespace,
        name=record.name,
        uid=record.uid,
        cluster=cluster,
        number=run.number,
        run=run.id,
        attempt=run.attempt,
        deadline=deadline,
        approved=record.approved if Gate.START in spec.approval.before else "",
        to=run.to,
        known=record.known,
        retry=record.retry,
        resolution=record.resolution,
        spec=spec,
    )


def look_order(record: Record, spec: Spec, cluster: str, run: str) -> Order:
    """Return an order that looks only; it belongs to no run of the record."""
    looking = record.model_copy(update={"run": LocalRun(id=run, number=0, segment=Segment.LOOK)})
    return order_of(looking, spec, cluster, 0.0)


def after_result(record: Record, result: Result, at: str) -> Record:
    """Return the record with the end of an attempt in it; `at` is now, RFC 3339."""
    run = record.run
    again = result.outcome is Outcome.NOT_FINISHED
    # A held run is closed too, as in the cluster: only `whimbrel resolve` opens it again.
    state = RunState.OPEN if again else RunState.CLOSED
    over = not again and result.outcome is not Outcome.HELD
    return record.model_copy(
        update={
            "run": run and run.model_copy(update={"state": state}),
            "known": record.known.after(result.database_uuid, result.epoch),
            "retry": "" if over else record.retry,
            "resolution": record.resolution if again else None,
            "approved": "" if over else record.approved,
            "last": LastAnswer(at=at, result=result.model_copy(update={"plan": ""})),
        }
    )


def looked_held(record: Record, looked: Result, errand: Errand, at: str) -> Record:
    """Return the record with a look that asks a person as the answer of the run it was for."""
    begun = begin_attempt(record, errand)
    run = begun.run.id if begun.run else ""
    return after_result(begun, looked.model_copy(update={"run": run}), at)


def fresh_record(manifest: Manifest, namespace: str, uid: str) -> Record:
    """Return a record of an object that was never seen here."""
    return Record(namespace=namespace, name=manifest.name, uid=uid, manifest=str(manifest.path))


def shown_path(path: str, here: Path) -> str:
    """Return a path as a person in the directory `here` would type it."""
    try:
        return str(Path(path).relative_to(here))
    except ValueError:
        return path
