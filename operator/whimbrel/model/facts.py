"""What the runner reads in the database before it plans."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from whimbrel.model.steps import CatalogObject


@dataclass(frozen=True)
class Applied:
    """One row of the ledger: a file (or revision) that is applied.

    Attributes:
        owner: namespace/name of the object that applied it; "" where the tool itself did.
        run: Id of the run that applied it.
        image: Image of that run, or "".
        down: Text of the down file at that time, or None.
        added: What it added to the catalogue, as far as the catalogue tells.
    """

    history: str
    version: str
    name: str
    checksum: str
    owner: str
    run: str
    image: str
    down: str | None
    added: frozenset[CatalogObject]


@dataclass(frozen=True)
class Unfinished:
    """A migration of which the tool's own table shows a beginning and no end.

    Attributes:
        since: When it began, as the database says it.
        said: What was written down of its failure; "" where nobody knows how it ended.
        is_ours: We began it, and the ledger knows how far it came; else the tool itself did.
    """

    id: str
    version: str
    since: str
    said: str
    is_ours: bool = False


@dataclass(frozen=True)
class ForeignKey:
    """A constraint by which rows go, or change, together with those that they refer to.

    Attributes:
        constraint: Its name, and the table whose rows refer to others.
        columns: Those of that table.
        parent: The table that they refer to.
        keys: The columns of the parent.
        on_delete: What happens to them when a row of the parent goes: CASCADE, SET NULL ...
        on_update: The same for a row whose keys change.
    """

    constraint: CatalogObject
    columns: tuple[str, ...]
    parent: CatalogObject
    keys: tuple[str, ...]
    on_delete: str
    on_update: str


@dataclass(frozen=True)
class Facts:
    """The truth that a plan stands on.

    Attributes:
        applied: What is applied of this history, oldest first (tools whose files we run).
        unfinished: What its own table shows as begun and not finished (the same tools).
        revisions: What the tool's bookkeeping table shows (foreign tools).
        digests: sha256 (hex) by revision of the files that were applied, as far as it is known.
        last_run: Versions that the newest finished run of this object applied, oldest first.
        catalog: Everything the database holds, outside system schemas and the ledger.
        foreign_keys: Those by which rows go or change with others (tools whose files we run).
        left_nothing: A newer run of this object that failed and left nothing, or "": a way back
            without a target would take back more than the person has in mind.
        rolled_back: Digests of plans that were rolled back and are not tried again.
        dialect: Kind of the server, as `planning.dialects` names it.
        half: Version and name of files of which a part stays, and nobody has decided yet.
        started: Ids of steps outside a transaction that an earlier attempt began and did not end.
        added: What earlier runs of a foreign tool added, by revision reached ("" = unknown run).
        gone: What of that is not there any more, under whatever name.
        newer: Rows of the tool's table that runs with other images brought since the last run
            with this one.
        reached: Revisions that earlier runs of this object came to (foreign tools).
        newest_image: Of the newest start or file that is applied, which knows all of it; or "".
    """

    database: str
    server_version: int
    applied: tuple[Applied, ...] = ()
    unfinished: tuple[Unfinished, ...] = ()
    revisions: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    last_run: tuple[str, ...] = ()
    left_nothing: str = ""
    catalog: frozenset[CatalogObject] = frozenset()
    foreign_keys: tuple[ForeignKey, ...] = ()
    rolled_back: frozenset[str] = frozenset()
    started: frozenset[str] = frozenset()
    dialect: str = "postgresql"
    half: tuple[tuple[str, str], ...] = ()
    added: dict[str, frozenset[CatalogObject]] = field(default_factory=dict)
    gone: dict[str, frozenset[CatalogObject]] = field(default_factory=dict)
    newer: frozenset[str] = frozenset()
    reached: frozenset[str] = frozenset()
    newest_image: str = ""
