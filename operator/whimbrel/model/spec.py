"""What the author of a DatabaseMigration asks for, parsed once (`parse_spec`) into frozen types.

The CustomResourceDefinition is generated from these classes (`whimbrel.model.crd`), so
descriptions, bounds and CEL rules stand here and in `bounds`, and nowhere else.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from whimbrel.model.bounds import (
    SENTENCES,
    DataKey,
    Duration,
    EnvName,
    FilePath,
    Frozen,
    Identifier,
    ImageName,
    Revision,
    UrlScheme,
    format_duration,
    parse_duration,
    require,
    rules,
)
from whimbrel.model.database import (
    ONE_REFERENCE,
    CaSource,
    Database,
    KeyRef,
    NameRef,
    PartsFrom,
    SecretSource,
    Tls,
)
from whimbrel.model.errors import SpecError
from whimbrel.model.job_options import JobOptions, Resources, Toleration

# Who handles a spec finds the types of its fields here too.
__all__ = [
    "CaSource",
    "Database",
    "Duration",
    "Frozen",
    "Identifier",
    "JobOptions",
    "KeyRef",
    "NameRef",
    "PartsFrom",
    "Resources",
    "SecretSource",
    "Tls",
    "Toleration",
    "format_duration",
    "parse_duration",
]

MAX_INLINE_CHARACTERS: Final = 100_000
_ONE_VALUE: Final = "name exactly one of value and valueFrom"
_ONE_SOURCE: Final = "name exactly one source: image, configMapRef or inline"
_OWN_IMAGE: Final = "this tool runs in your own image: name it in `image`"
_SQL_MEMBER: Final = "the member `sql` belongs to tool: sql"
_ALEMBIC_MEMBER: Final = "the member `alembic` belongs to tool: alembic"
_POSITIVE: Final = "write limits longer than zero: zero would mean no limit"
_SQL_PATH: Final = (
    "tool sql with an image needs sql.path, the directory of the files in it; "
    "without an image there is no path"
)
_INLINE_SIZE: Final = (
    f"inline files may hold {MAX_INLINE_CHARACTERS} characters together; "
    "use configMapRef or an image for more"
)


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


class InlineFiles(Frozen):
    """Migration files written into the object itself."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"self.files.map(f, size(self.files[f])).sum() <= {MAX_INLINE_CHARACTERS}",
                _INLINE_SIZE,
            )
        )
    )
    files: Annotated[
        dict[DataKey, Annotated[str, Field(max_length=MAX_INLINE_CHARACTERS)]],
        Field(min_length=1, max_length=200),
    ] = Field(description="File name (NNN_name.up.sql, NNN_name.down.sql) to its text.")

    @model_validator(mode="after")
    def _not_too_long(self) -> Self:
        characters = sum(len(text) for text in self.files.values())
        require(characters <= MAX_INLINE_CHARACTERS, _INLINE_SIZE)
        return self


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
                ONE_REFERENCE,
            )
        )
    )
    config_map_key_ref: KeyRef | None = Field(None, description="A ConfigMap's key.")
    secret_key_ref: KeyRef | None = Field(None, description="A Secret's key.")

    @model_validator(mode="after")
    def _one_reference(self) -> Self:
        has_config_map = self.config_map_key_ref is not None
        require(has_config_map != (self.secret_key_ref is not None), ONE_REFERENCE)
        return self


class EnvVar(Frozen):
    """A further environment variable of the tool."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.value) != has(self.valueFrom)",
                _ONE_VALUE,
            )
        )
    )
    name: EnvName = Field(description="Name of the variable.")
    value: Annotated[str, Field(max_length=4096)] | None = Field(None, description="Its value.")
    value_from: EnvSource | None = Field(None, description="Where its value stands.")

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        require((self.value is None) != (self.value_from is None), _ONE_VALUE)
        return self


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
                _ONE_SOURCE,
            ),
            (
                "self.tool == 'sql' || has(self.image)",
                _OWN_IMAGE,
            ),
            (
                "!has(self.sql) || self.tool == 'sql'",
                _SQL_MEMBER,
            ),
            (
                "!has(self.alembic) || self.tool == 'alembic'",
                _ALEMBIC_MEMBER,
            ),
            (
                "self.tool != 'sql' || has(self.sql) == has(self.image)",
                _SQL_PATH,
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

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = (self.image, self.config_map_ref, self.inline)
        require(sum(source is not None for source in sources) == 1, _ONE_SOURCE)
        return self

    @model_validator(mode="after")
    def _fits_the_tool(self) -> Self:
        is_sql = self.tool is Tool.SQL
        has_image = self.image is not None
        require(is_sql or has_image, _OWN_IMAGE)
        require(is_sql or self.sql is None, _SQL_MEMBER)
        require(self.tool is Tool.ALEMBIC or self.alembic is None, _ALEMBIC_MEMBER)
        require(not is_sql or (self.sql is not None) == has_image, _SQL_PATH)
        return self


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

    # PostgreSQL takes a lock_timeout of 0 as "wait for ever".
    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[self.lockTimeout, self.lockHold, self.progressDeadline]"
                ".all(limit, !limit.matches(r'^[0.hms]*$'))",
                _POSITIVE,
            )
        )
    )
    lock_timeout: Duration = Field(
        0.1, description="Longest wait for a lock; readers behind us stall no longer than this."
    )
    lock_hold: Duration = Field(
        2.0, description="Longest time that we make somebody else wait for a lock we hold."
    )
    progress_deadline: Duration = Field(
        3600.0, description="How long errors that heal by themselves are retried before Stalled."
    )

    @model_validator(mode="after")
    def _more_than_zero(self) -> Self:
        shortest = min(self.lock_timeout, self.lock_hold, self.progress_deadline)
        require(shortest > 0, _POSITIVE)
        return self


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
        sentence = SENTENCES.get(first.get("ctx", {}).get("pattern", ""), first["msg"])
        raise SpecError(path, sentence.removeprefix("Value error, ")) from None
