"""What the author of a DatabaseMigration asks for, parsed once (`parse_spec`) into frozen types.

The CustomResourceDefinition is generated from these classes (`whimbrel.model.crd`), so
descriptions, bounds and CEL rules stand here and nowhere else.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from whimbrel.model.errors import SpecError

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = r"[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h)"
DURATION_PATTERN: Final = f"^(?:{_PART})+$"
MAX_INLINE_CHARACTERS: Final = 100_000


def parse_duration(text: str | float) -> float:
    """Return the seconds of a Go duration such as ``1h30m`` or ``100ms``.

    Raises:
        ValueError: The text is not a duration.
    """
    if isinstance(text, int | float):
        return float(text)
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration such as 100ms, 30s, 5m or 1h30m")
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def format_duration(seconds: float) -> str:
    """Return seconds as a Go duration that `parse_duration` reads back."""
    whole = round(seconds * 1000)
    return f"{whole}ms" if whole % 1000 else f"{whole // 1000}s"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "maxLength": 32}),
]

# PostgreSQL takes any name of 1 to 63 bytes without NUL when it is quoted, and we always quote.
# The API server counts characters, so the runner checks the bytes again (planning.dialects).
Identifier = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[^\x00]+$")]
ObjectName = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
DataKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
EnvName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
ImageName = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^\S+$")]
FilePath = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00]+$")]
Revision = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\s\x00]+$")]
Label = Annotated[str, Field(max_length=63)]


class Frozen(BaseModel):
    """Frozen, strict about unknown fields, camelCase in YAML."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Return CEL rules (expression, message) in the form that the CRD schema wants."""
    return {
        "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]
    }


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


class NameRef(Frozen):
    """The name of an object in the same namespace."""

    name: ObjectName = Field(description="Name of the object.")


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
    scheme: Annotated[str, Field(max_length=64, pattern=r"^[a-z][a-z0-9+]*$")] = Field(
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
        (), description="Further variables of the tool."
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


class Resources(Frozen):
    """Resources of the Job's containers."""

    requests: Annotated[dict[Label, Label], Field(max_length=8)] = Field(
        {}, description="Requests, for example cpu: 100m."
    )
    limits: Annotated[dict[Label, Label], Field(max_length=8)] = Field(
        {}, description="Limits, for example memory: 256Mi."
    )


class Toleration(Frozen):
    """A toleration of the Job's Pod."""

    key: Annotated[str, Field(max_length=253)] = Field("", description="Taint key.")
    operator: Literal["Exists", "Equal"] = Field("Equal", description="How key and value match.")
    value: Label = Field("", description="Taint value.")
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        "", description="Taint effect; empty means all."
    )


class JobOptions(Frozen):
    """The part of the Job's Pod that may be set."""

    resources: Resources = Field(Resources(), description="Resources of the containers.")
    image_pull_secrets: Annotated[tuple[NameRef, ...], Field(max_length=8)] = Field(
        (), description="Secrets for pulling the images."
    )
    service_account_name: Annotated[str, Field(max_length=253)] = Field(
        "", description="ServiceAccount of the Pod; its token is never mounted."
    )
    node_selector: Annotated[dict[str, Label], Field(max_length=16)] = Field(
        {}, description="Node labels the Pod needs."
    )
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = Field(
        (), description="Tolerations of the Pod."
    )
    run_as_user: Annotated[int, Field(ge=1, le=2147483647)] = Field(
        65532, description="User id of the containers; never root."
    )
    fs_group: Annotated[int, Field(ge=1, le=2147483647)] = Field(
        65532, description="Group that owns the shared volume."
    )
    pod_labels: Annotated[dict[str, Label], Field(max_length=16)] = Field(
        {}, description="Further labels of the Pod."
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
