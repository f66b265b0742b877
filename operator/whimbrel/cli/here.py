"""An object without a cluster: found by its name or file, and worked on at this terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from whimbrel.cli.attempts import Desk
from whimbrel.cli.clusters import acts_locally, connect_cluster
from whimbrel.cli.dump import dumps_in
from whimbrel.cli.local_identity import object_uid
from whimbrel.cli.manifest import Manifest, looks_like_file, read_manifest
from whimbrel.cli.options import URL_VARIABLE, Connection, Consent, Place
from whimbrel.cli.orders import fresh_record, record_of
from whimbrel.cli.reach import reach
from whimbrel.cli.record import EMBEDDED, Record, find_record, load_record, sole_worker
from whimbrel.cli.workplace import database_label, material, surroundings, workplace
from whimbrel.model.errors import RefusedError
from whimbrel.model.spec import AllowDataLoss, Database, Limits, Spec, parse_duration, parse_spec
from whimbrel.runner.work import carry_out


@dataclass(frozen=True)
class Found:
    """An object, as its file and its record say."""

    manifest: Manifest
    record: Record


def manifest_of(place: Place, word: str) -> Path:
    """Return the manifest that a file or a name stands for.

    Raises:
        RefusedError: Nothing is known here of that name.
    """
    if looks_like_file(word):
        return Path(word)
    record = find_record(place.state_dir, place.namespace, word)
    if record is None or not record.manifest:
        raise RefusedError(
            "NotFound",
            f"nothing is known of {word} in {place.state_dir}: name its manifest file instead",
        )
    return Path(record.manifest)


def found_object(place: Place, word: str, connection: Connection, consent: Consent) -> Found:
    """Return the object that a file or a name stands for, ready to be worked on."""
    manifest = with_consent(read_manifest(manifest_of(place, word)), consent)
    namespace = namespace_of(place, manifest)
    uid = object_uid(place.state_dir, f"{namespace}/{manifest.name}")
    identity = fresh_record(manifest, namespace, uid).model_copy(
        update={
            "database": database_label(connection),
            "project": str(connection.project.resolve()) if connection.project else "",
        }
    )
    before = load_record(place.state_dir, namespace, manifest.name)
    if before is not None:
        _refuse_another_database(before, connection, place)
    return Found(manifest, record_of(before, manifest, identity))


def _refuse_another_database(record: Record, connection: Connection, place: Place) -> None:
    """Refuse to start an embedded server for an object whose database was named before."""
    if record.database != EMBEDDED and not connection.url:
        raise RefusedError(
            "UrlMissing",
            f"{record.name} was last run on {record.database}: name that database with --url "
            f"(or {URL_VARIABLE}); nothing was touched. For another database without --url, use "
            f"another --state-dir than {place.state_dir}",
        )


def namespace_of(place: Place, manifest: Manifest) -> str:
    """Return the namespace: of the command line, of the file, or `default`."""
    if place.namespace and manifest.namespace and place.namespace != manifest.namespace:
        raise RefusedError(
            "WrongNamespace",
            f"{manifest.path} says namespace {manifest.namespace}, but -n says {place.namespace}",
        )
    return place.namespace or manifest.namespace or "default"


def with_consent(manifest: Manifest, consent: Consent) -> Manifest:
    """Return the manifest with what a person accepted on the command line."""
    if not consent.allow_data_loss:
        return manifest
    if not consent.by or not consent.reason:
        raise RefusedError(
            "ConsentIncomplete", "--allow-data-loss needs --by WHO and --reason TEXT"
        )
    accepted = AllowDataLoss(by=consent.by, reason=consent.reason)
    rollback = manifest.spec.rollback.model_copy(update={"allow_data_loss": accepted})
    spec = manifest.spec.model_copy(update={"rollback": rollback})
    return Manifest(manifest.path, manifest.namespace, manifest.name, spec, manifest.config_maps)


@contextmanager
def desk_for(place: Place, connection: Connection, found: Found) -> Iterator[Desk]:
    """Give everything that an attempt needs; hold the object until the end."""
    patience = patience_of(connection)
    project = Path(found.record.project) if found.record.project else None
    brought = material(found.manifest, project, dumps_in(place.state_dir))
    record = found.record
    with (
        sole_worker(place.state_dir, record.namespace, record.name),
        workplace(connection, place.state_dir) as here,
    ):
        if connection.url:
            reach(here.target, patience, here.stopping)
        around = surroundings(here, brought)
        yield Desk(place.state_dir, found.manifest, around, patience, carry_out)


def patience_of(connection: Connection) -> float:
    """Return the seconds of --wait."""
    try:
        return parse_duration(connection.wait)
    except ValueError as error:
        raise RefusedError("BadDuration", f"--wait: {error}") from None


@dataclass(frozen=True)
class LedgerPlace:
    """Where in a database the ledger of an object is.

    Attributes:
        spec: Of the object; None where it is gone.
        lock_timeout: Longest wait for a lock, seconds.
        owner: Namespace/name of the object, as its runs are known there; "" where none is named.
    """

    schema: str
    spec: Spec | None
    lock_timeout: float
    owner: str = ""


def ledger_place(place: Place, word: str, connection: Connection) -> LedgerPlace:
    """Return where the ledger of an object is, known here or in a cluster; "" where it is gone."""
    if not word:
        usual = Database.model_fields["ledger_schema"].default
        return LedgerPlace(usual, None, Limits().lock_timeout)
    if acts_locally(place, word):
        found = found_object(place, word, connection, Consent())
        spec, owner = found.manifest.spec, f"{found.record.namespace}/{found.record.name}"
    else:
        seen = connect_cluster(place).read(word)
        spec = parse_spec(seen["spec"])
        owner = "{namespace}/{name}".format_map(seen["metadata"])
    return LedgerPlace(spec.database.ledger_schema, spec, spec.limits.lock_timeout, owner)
