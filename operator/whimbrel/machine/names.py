"""Every name that we give to objects, labels and annotations.

Deterministic, so that a second operator, or the same one after a crash, finds what the first
one made.
"""

import hashlib
import itertools
from typing import Final

from whimbrel.model.migrations import DOWN_SUFFIX
from whimbrel.model.plan import Segment
from whimbrel.model.spec import Database, Gate, Spec

GROUP: Final = "whimbrel.dev"
VERSION: Final = "v1alpha1"
KIND: Final = "DatabaseMigration"
PLURAL: Final = "databasemigrations"
FINALIZER: Final = "whimbrel.dev/run"

MANAGED_BY: Final = ("app.kubernetes.io/managed-by", "whimbrel")
OBJECT_LABEL: Final = "whimbrel.dev/object"
DATABASE_LABEL: Final = "whimbrel.dev/database"
NAME: Final = "whimbrel.dev/name"
RUN: Final = "whimbrel.dev/run"
SEGMENT: Final = "whimbrel.dev/segment"
ATTEMPT: Final = "whimbrel.dev/attempt"
ORDER: Final = "whimbrel.dev/order"
CHECK: Final = "whimbrel.dev/check"  # on the Job of a measurement, in place of the three above

APPROVE: Final = "whimbrel.dev/approve"
MANAGED_ANNOTATION: Final = "whimbrel.dev/managed-by"
RETRY: Final = "whimbrel.dev/retry-requested-at"
ROLLBACK: Final = "whimbrel.dev/rollback-requested-at"
RESOLVE: Final = "whimbrel.dev/resolve"
RESOLVE_AT: Final = "whimbrel.dev/resolve-at"
RESOLVE_BY: Final = "whimbrel.dev/resolve-by"
RESOLVE_REASON: Final = "whimbrel.dev/resolve-reason"

JOB_NAME_LIMIT: Final = 52  # the Pod's suffix and the label job-name must fit into 63


def digest(*parts: object, length: int = 10) -> str:
    """Return the first hex digits of the sha256 over the parts."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:length]


def run_id(uid: str, number: int) -> str:
    """Return the id of a run. No two runs of an object share one, or an old end would answer."""
    return digest(uid, number, length=16)


def object_label(name: str, uid: str) -> str:
    """Return the label value that finds everything of one object (a new uid is a new object)."""
    return f"{short_name(name, 32)}-{digest(uid)}"


def database_label(database: Database) -> str:
    """Return the label value that finds the Jobs of a namespace that use the same Secret."""
    if database.url_from is not None:
        reference = database.url_from.secret_key_ref
        return digest(reference.name, reference.key)
    return digest(database.parts_from.secret_ref.name) if database.parts_from else ""


def short_name(name: str, limit: int) -> str:
    """Return a name without dots, cut to a length, fit for the start of a DNS label."""
    return name.replace(".", "-")[:limit].rstrip("-")


def job_name(name: str, uid: str, run: str, *, segment: Segment | str, attempt: int) -> str:
    """Return the name of the Job of one attempt, at most 52 characters."""
    tail = f"-{str(segment).lower()}-{digest(uid, run, segment, attempt)}"
    return short_name(name, JOB_NAME_LIMIT - len(tail)) + tail


def check_job_name(name: str, *parts: object) -> str:
    """Return the name of the Job of one measurement, at most 52 characters."""
    tail = f"-check-{digest(*parts)}"
    return short_name(name, JOB_NAME_LIMIT - len(tail)) + tail


def plan_name(name: str, plan_digest: str) -> str:
    """Return the name of the ConfigMap that shows a plan."""
    return f"{short_name(name, 200)}-plan-{plan_digest[:12]}"


def gate_token(gate: str, plan_digest: str) -> str:
    """Return the value that the annotation `whimbrel.dev/approve` must have."""
    return f"{gate}:{plan_digest[:12]}"


def switch_token(run: str) -> str:
    """Return the value that approves the switch of one run: of a later one green is another."""
    return gate_token(Gate.SWITCH, digest(run, length=12))


def work_digest(spec: Spec) -> str:
    """Return the digest of all that makes another run: what is measured and when does not."""
    besides = {"suspend", "deletion_policy", "health_checks", "soak"}
    return digest(spec.model_dump_json(exclude=besides), length=16)


def asked_digest(spec: Spec) -> str:
    """Return the digest of what shall be applied; a mended way back asks for nothing else."""
    files = spec.migrations.inline.files if spec.migrations.inline else {}
    ups = {name: text for name, text in files.items() if not name.endswith(DOWN_SUFFIX)}
    rest = spec.migrations.model_dump_json(exclude={"inline"})
    return digest(rest, *itertools.chain(*sorted(ups.items())), length=16)
