"""What the author of a DatabaseMigration asks for, parsed once (`parse_spec`) into frozen types.

The CustomResourceDefinition is generated from these classes (`whimbrel.model.crd`), so
descriptions, bounds and CEL rules stand here and in `bounds`, and nowhere else.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from whimbrel.model.bounds import (
    DataKey,
    Duration,
    EnvName,
    FilePath,
    Frozen,
    Identifier,
    ImageName,
    ObjectName,
    Revision,
    UrlScheme,
    format_duration,
    parse_duration,
    rules,
)
from whimbrel.model.errors import SpecError
from whimbrel.model.job_options import JobOptions, NameRef, Resources, Toleration

# Who handles a spec finds the types of its fields here too.
__all__ = [
    "Duration",
    "Frozen",
    "Identifier",
    "JobOptions",
    "NameRef",
    "Resources",
    "Toleration",
    "format_duration",
    "parse_duration",
]

MAX_INLINE_CHARACTERS: Final = 100_000


class Tool(StrEnum):
    """The tool whose migrations are applied."""

    SQL = "sql"
    ALEMBIC = "alembic"


class Atomicity(StrEnum):
    """How many files share a transaction."""

    ALL = "All"
    FILE = "File"


class OnFailure(StrEnum):
    """What happens when a later transaction of a run fails."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class DeletionPolicy(StrEnum):
    """What deleting the object does to the database."""

    RETAIN = "Retain"
    ROLLBACK = "Rollback"


class Gate(StrEnum):
    """A point where a person must approve the plan."""

    START = "Start"


class KeyRef(Frozen):
    """One key of one Secret or ConfigMap in the object's namespace."""

    name: ObjectName = Field(description="Name of the Secret or ConfigMap.")
    key: DataKey = Field(description="Key inside it.")


class SecretSource(Frozen):
    """A value that only Jobs mount; the operator never reads it."""

    secret_key_ref: KeyRef = Field(description="The key of a Secret in the same namespace.")


class CaSource(Frozen):
    """Where the certificate authority of the database server stands."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.configMapKeyRef) != has(self.secretKeyRef)",
                "name exactly one of configMapKeyRef and secretKeyRef",
            )
        )
    )
    config_map_key_ref: KeyRef | None = Field(None, description="A ConfigMap's key.")
    secret_key_ref: KeyRef | None = Field(None, description="A Secret's key.")


class Tls(Frozen):
    """TLS to the database: verify-full is the default where a CA is named."""

    ca_from: CaSource = Field(description="The certificate authority that signed the server.")


class PartsFrom(Frozen):
    """The parts of the connection as keys of one Secret."""

    secret_ref: NameRef = Field(description="The Secret that holds the parts.")
    host: DataKey = Field("host", description="Key that holds the host.")
    port: DataKey = Field("port", description="Key that holds the port.")
    name: DataKey = Field("dbname", description="Key that holds the database's name.")
    user: DataKey = Field("username", description="Key that holds the login.")
    password: DataKey = Field("password", description="Key that holds the password.")


class Database(Frozen):
    """Which database. Immutable: another database is another object."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.urlFrom) != has(self.partsFrom)",
                "name exactly one of urlFrom and partsFrom",
            )
        )
    )
    url_from: SecretSource | None = Field(None, description="A Secret key with the whole URL.")
    parts_from: PartsFrom | None = Field(None, description="A Secret with host, port and so on.")
    tls: Tls | None = Field(None, description="Certificate authority of the server.")
    run_role: SecretSource | None = Field(
        None,
        description="URL of a login that a DBA prepared for the runs of this object alone; "
        "it makes the fence `Role` provable.",
    )
    ledger_schema: Identifier = Field(
        "whimbrel", description="Schema of the ledger; a DBA may create it beforehand."
    )


class InlineFiles(Frozen):
    """Migration files written into the object itself."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"self.files.map(f, size(self.files[f])).sum() <= {MAX_INLINE_CHARACTERS}",
                f"inline files may hold {MAX_INLINE_CHARACTERS} characters together; "
                "use configMapRef or an image for more",
            )
        )
    )
    files: Annotated[
        dict[DataKey, Annotated[str, Field(max_length=MAX_INLINE_CHARACTERS)]],
        Field(min_length=1, max_length=200),
    ] = Field(description="File name (NNN_name.up.sql, NNN_name.down.sql) to its text.")


class SqlOptions(Frozen):
    """Options of the tool `sql`."""

    path: FilePath = Field(description="Directory of the files inside the image.")


class AlembicOptions(Frozen):
    """Options of the tool `alembic`."""

    config: FilePath = Field("alembic.ini", description="The ini file, relative to workingDir.")


class DatabaseURL(Frozen):
    """How the tool wants to get the database's URL."""

    env: EnvName = Field("DATABASE_URL", description="Environment variable that carries the URL.")
    scheme: UrlScheme = Field(
        "postgresql", description="Scheme of the URL, for example postgresql+psycopg."
    )


class EnvSource(Frozen):
    """Where a variable's value stands."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.configMapKeyRef) != has(self.secretKeyRef)",
                "name exactly one of configMapKeyRef and secretKeyRef",
            )
        )
    )
    config_map_key_ref: KeyRef | None = Field(None, description="A ConfigMap's key.")
    secret_key_ref: KeyRef | None = Field(None, description="A Secret's key.")


class EnvVar(Frozen):
    """A further environment variable of the tool."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.value) != has(self.valueFrom)",
                "name exactly one of value and valueFrom",
            )
        )
    )
    name: EnvName = Field(description="Name of the variable.")
    value: Annotated[str, Field(max_length=4096)] | None = Field(None, description="Its value.")
    value_from: EnvSource | None = Field(None, description="Where its value stands.")


class Bookkeeping(Frozen):
    """The tool's own table, where it is not in the default place."""

    schema_name: Identifier = Field("public", alias="schema", description="Its schema.")
    table: Identifier = Field(description="Its name.")


class Migrations(Frozen):
    """What to apply. Mutable: every release bumps it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(has(self.image) ? 1 : 0) + (has(self.configMapRef) ? 1 : 0) "
                "+ (has(self.inline) ? 1 : 0) == 1",
                "name exactly one source: image, configMapRef or inline",
            ),
            (
                "self.tool == 'sql' || has(self.image)",
                "this tool runs in your own image: name it in `image`",
            ),
            (
                "!has(self.sql) || self.tool == 'sql'",
                "the member `sql` belongs to tool: sql",
            ),
            (
                "!has(self.alembic) || self.tool == 'alembic'",
                "the member `alembic` belongs to tool: alembic",
            ),
            (
                "self.tool != 'sql' || has(self.sql) == has(self.image)",
                "tool sql with an image needs sql.path, the directory of the files in it; "
                "without an image there is no path",
            ),
        )
    )
    tool: Tool = Field(description="The tool whose migrations are applied.")
    image: ImageName | None = Field(None, description="Your own image, with tool and migrations.")
    config_map_ref: NameRef | None = Field(None, description="A ConfigMap with SQL files.")
    inline: InlineFiles | None = Field(None, description="SQL files in the object itself.")
    sql: SqlOptions | None = Field(None, description="Options of tool sql.")
    alembic: AlembicOptions | None = Field(None, description="Options of tool alembic.")
    working_dir: FilePath | None = Field(
        None,
        alias="workingDir",
        description="Directory the tool starts in; the image's own if absent.",
    )
    database_url: DatabaseURL = Field(
        DatabaseURL(), alias="databaseURL", description="How the tool wants the URL."
    )
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64)] = Field(
        (),
        description="Further variables of the tool.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    )
    to: Revision = Field(
        "head", description="The revision that must be the last one applied afterwards."
    )
    history: Identifier = Field(
        "default", description="Key of the sql ledger: several projects may share a database."
    )
    baseline: Annotated[str, Field(max_length=255)] = Field(
        "",
        description="Adopt an existing database: recorded as applied up to here, not run.",
    )
    bookkeeping: Bookkeeping | None = Field(None, description="The tool's own table.")
    atomicity: Atomicity = Field(
        Atomicity.ALL, description="sql: all pending files in one transaction, or one per file."
    )


class Strategy(Frozen):
    """How it is carried out."""

    type: Literal["Transactional"] = Field("Transactional", description="The strategy.")


class AllowDataLoss(Frozen):
    """A person accepts that a rollback destroys data that salvage does not cover."""

    by: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="Who accepts it.")
    reason: Annotated[str, Field(min_length=1, max_length=1024)] = Field(description="Why.")


class Rollback(Frozen):
    """How the way back is taken."""

    on_failure: OnFailure = Field(
        OnFailure.AUTOMATIC,
        description="Automatic takes back what this run applied; Manual stays and says so.",
    )
    allow_data_loss: AllowDataLoss | None = Field(
        None, description="Lets a rollback destroy what salvage does not cover."
    )
    keep_salvage: Duration = Field(
        parse_duration("168h"), description="How long salvaged data is kept."
    )


class Approval(Frozen):
    """Where a person must approve."""

    before: Annotated[tuple[Gate, ...], Field(max_length=3)] = Field(
        (), description="The gates.", json_schema_extra={"x-kubernetes-list-type": "set"}
    )


class Limits(Frozen):
    """What the application may feel of us."""

    lock_timeout: Duration = Field(
        0.1, description="Longest wait for a lock; readers behind us stall no longer than this."
    )
    lock_hold: Duration = Field(
        2.0, description="Longest time that we make somebody else wait for a lock we hold."
    )
    progress_deadline: Duration = Field(
        3600.0, description="How long errors that heal by themselves are retried before Stalled."
    )


class Spec(Frozen):
    """What the author of the object asks for."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.database == oldSelf.database",
                "database is immutable: create another object for another database",
            ),
        )
    )
    database: Database = Field(description="Which database. Immutable.")
    migrations: Migrations = Field(description="What to apply.")
    strategy: Strategy = Field(Strategy(), description="How it is carried out.")
    rollback: Rollback = Field(Rollback(), description="How the way back is taken.")
    approval: Approval = Field(Approval(), description="Where a person must approve.")
    limits: Limits = Field(Limits(), description="What the application may feel of us.")
    job: JobOptions = Field(JobOptions(), description="The part of the Job's Pod that may be set.")
    suspend: bool = Field(False, description="Start nothing new; stop at the next safe point.")
    deletion_policy: DeletionPolicy = Field(
        DeletionPolicy.RETAIN,
        description="Retain keeps what is applied; Rollback takes it back before the object goes.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> "Spec":
        wanted = self.migrations
        sources = [wanted.image, wanted.config_map_ref, wanted.inline]
        if sum(source is not None for source in sources) != 1:
            raise ValueError("name exactly one source: image, configMapRef or inline")
        if (self.database.url_from is None) == (self.database.parts_from is None):
            raise ValueError("name exactly one of database.urlFrom and database.partsFrom")
        return self


def parse_spec(raw: Mapping[str, Any]) -> Spec:
    """Return the spec of an object as frozen types.

    Raises:
        SpecError: A field is missing, unknown or out of bounds; the first one is named.
    """
    try:
        return Spec.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(["spec", *(str(part) for part in first["loc"])])
        raise SpecError(path, first["msg"].removeprefix("Value error, ")) from None
