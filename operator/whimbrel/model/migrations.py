"""What to apply: tool, source of the files, revision, and what only some tools have."""

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, model_validator

from whimbrel.model.bounds import (
    DataKey,
    EnvName,
    FilePath,
    Frozen,
    Identifier,
    ImageName,
    ModuleName,
    Revision,
    UrlScheme,
    require,
    rules,
)
from whimbrel.model.database import KeySource, NameRef

# Bytes, as annotations are counted: the order with the files in it stands in one of the Job's
# Pod, and all annotations together may hold 262,144 bytes. JSON writes a line's end and a quote
# as two bytes. https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/
MAX_INLINE_BYTES: Final = 100_000
_ONE_VALUE: Final = "name exactly one of value and valueFrom"
_ONE_SOURCE: Final = "name exactly one source: image, configMapRef or inline"
_OWN_IMAGE: Final = "this tool runs in your own image: name it in `image`"
_SQL_MEMBER: Final = "the member `sql` belongs to tool: sql"
_ALEMBIC_MEMBER: Final = "the member `alembic` belongs to tool: alembic"
_DJANGO_MEMBER: Final = "the member `django` belongs to tool: django"
_PRISMA_MEMBER: Final = (
    "the member `prisma` belongs to tool: prisma with an image: without one there is no path"
)
_SEQUELIZE_MEMBER: Final = "the member `sequelize` belongs to tool: sequelize"
_TYPEORM_MEMBER: Final = "the member `typeorm` belongs to tool: typeorm"
_SQL_PATH: Final = (
    "tool sql with an image needs sql.path, the directory of the files in it; "
    "without an image there is no path"
)
_INLINE_SIZE: Final = (
    f"inline files may hold {MAX_INLINE_BYTES} bytes together; "
    "use configMapRef or an image for more"
)
_NO_ENV: Final = "tools sql and prisma start no program that would get variables: leave `env` out"
_NO_WORKING_DIR: Final = (
    "tool sql starts no program in a directory: leave `workingDir` out, sql.path says where "
    "the files are"
)
_NO_IMAGE_DIR: Final = "`workingDir` is a directory of your image: without an image leave it out"
_NO_DATABASE_URL: Final = (
    "tools sql and prisma start no program that would get the URL: leave `databaseURL` out"
)
_NO_BOOKKEEPING: Final = (
    "tool sql keeps its books in the ledger (database.ledgerSchema): leave `bookkeeping` out"
)
_OWN_TRANSACTIONS: Final = (
    "`atomicity` belongs to the tools sql and prisma; every other has transactions of its own: "
    "leave it out"
)

DOWN_SUFFIX: Final = ".down.sql"  # of a file of tool sql that leads back


class Tool(StrEnum):
    """The tool whose migrations are applied."""

    SQL = "sql"
    ALEMBIC = "alembic"
    DJANGO = "django"
    SEQUELIZE = "sequelize"
    TYPEORM = "typeorm"
    PRISMA = "prisma"

    @property
    def is_foreign(self) -> bool:
        """Whether it is a program in the user's image; of the others we run the SQL files."""
        return self not in {Tool.SQL, Tool.PRISMA}


class Atomicity(StrEnum):
    """How many files share a transaction."""

    ALL = "All"
    FILE = "File"


class InlineFiles(Frozen):
    """Migration files written into the object itself."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"self.files.map(f, size(bytes(self.files[f]))).sum() <= {MAX_INLINE_BYTES}",
                _INLINE_SIZE,
            )
        )
    )
    files: Annotated[
        dict[DataKey, Annotated[str, Field(max_length=MAX_INLINE_BYTES)]],
        Field(min_length=1, max_length=200),
    ] = Field(
        description="File name (NNN_name.up.sql, NNN_name.down.sql; of tool prisma "
        "NAME.migration.sql, NAME.down.sql) to its text."
    )

    @model_validator(mode="after")
    def _not_too_long(self) -> Self:
        size = sum(len(text.encode()) for text in self.files.values())
        require(size <= MAX_INLINE_BYTES, _INLINE_SIZE)
        return self


class SqlOptions(Frozen):
    """Options of the tool `sql`."""

    path: FilePath = Field(description="Directory of the files inside the image.")


class AlembicOptions(Frozen):
    """Options of the tool `alembic`."""

    config: FilePath = Field("alembic.ini", description="The ini file, relative to workingDir.")


class DjangoOptions(Frozen):
    """Options of the tool `django`."""

    settings: ModuleName | None = Field(
        None,
        description="The settings module; absent: what manage.py or the image itself names.",
    )
    manage: FilePath = Field("manage.py", description="manage.py, relative to workingDir.")


class PrismaOptions(Frozen):
    """Options of the tool `prisma`."""

    path: FilePath = Field(
        "prisma/migrations",
        description="Directory of the migrations in the image, relative to workingDir.",
    )


class SequelizeOptions(Frozen):
    """Options of the tool `sequelize`; .sequelizerc says them too, and these win."""

    environment: DataKey | None = Field(
        None,
        description="Entry of the configuration; absent: NODE_ENV of the image or of `env`, "
        "or else production.",
    )
    config: FilePath | None = Field(None, description="The configuration, relative to workingDir.")
    migrations_path: FilePath | None = Field(
        None, alias="migrationsPath", description="Folder of the migrations."
    )
    options_path: FilePath | None = Field(
        None, alias="optionsPath", description="The .sequelizerc, where it is called otherwise."
    )


class TypeormOptions(Frozen):
    """Options of the tool `typeorm`."""

    data_source: FilePath = Field(
        "dist/data-source.js",
        alias="dataSource",
        description="The compiled file that exports the DataSource, relative to workingDir.",
    )


class DatabaseURL(Frozen):
    """How the tool wants to get the database's URL."""

    env: EnvName = Field("DATABASE_URL", description="Environment variable that carries the URL.")
    scheme: UrlScheme = Field(
        "postgresql", description="Scheme of the URL, for example postgresql+psycopg."
    )


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
    value_from: KeySource | None = Field(None, description="Where its value stands.")

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
                "self.tool in ['sql', 'prisma'] || has(self.image)",
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
                "!has(self.django) || self.tool == 'django'",
                _DJANGO_MEMBER,
            ),
            (
                "!has(self.prisma) || (self.tool == 'prisma' && has(self.image))",
                _PRISMA_MEMBER,
            ),
            (
                "!has(self.sequelize) || self.tool == 'sequelize'",
                _SEQUELIZE_MEMBER,
            ),
            (
                "!has(self.typeorm) || self.tool == 'typeorm'",
                _TYPEORM_MEMBER,
            ),
            (
                "self.tool != 'sql' || has(self.sql) == has(self.image)",
                _SQL_PATH,
            ),
            (
                "!(self.tool in ['sql', 'prisma']) || !has(self.env) || size(self.env) == 0",
                _NO_ENV,
            ),
            (
                "self.tool != 'sql' || !has(self.workingDir)",
                _NO_WORKING_DIR,
            ),
            (
                "self.tool != 'prisma' || has(self.image) || !has(self.workingDir)",
                _NO_IMAGE_DIR,
            ),
            # The API server has filled in the defaults before it asks.
            (
                "!(self.tool in ['sql', 'prisma']) || (self.databaseURL.env == 'DATABASE_URL' "
                "&& self.databaseURL.scheme == 'postgresql')",
                _NO_DATABASE_URL,
            ),
            (
                "self.tool != 'sql' || !has(self.bookkeeping)",
                _NO_BOOKKEEPING,
            ),
            (
                "self.tool in ['sql', 'prisma'] || self.atomicity == 'All'",
                _OWN_TRANSACTIONS,
            ),
        )
    )
    tool: Tool = Field(description="The tool whose migrations are applied.")
    image: ImageName | None = Field(None, description="Your own image, with tool and migrations.")
    config_map_ref: NameRef | None = Field(None, description="A ConfigMap with SQL files.")
    inline: InlineFiles | None = Field(None, description="SQL files in the object itself.")
    sql: SqlOptions | None = Field(None, description="Options of tool sql.")
    alembic: AlembicOptions | None = Field(None, description="Options of tool alembic.")
    django: DjangoOptions | None = Field(None, description="Options of tool django.")
    prisma: PrismaOptions | None = Field(None, description="Options of tool prisma.")
    sequelize: SequelizeOptions | None = Field(None, description="Options of tool sequelize.")
    typeorm: TypeormOptions | None = Field(None, description="Options of tool typeorm.")
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
        "default", description="Key of the ledger: several projects may share a database."
    )
    baseline: Annotated[str, Field(max_length=255)] = Field(
        "",
        description="Adopt an existing database: recorded as applied up to here, not run.",
    )
    bookkeeping: Bookkeeping | None = Field(None, description="The tool's own table.")
    atomicity: Atomicity = Field(
        Atomicity.ALL,
        description="sql, prisma: all pending files in one transaction, or one per file.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = (self.image, self.config_map_ref, self.inline)
        require(sum(source is not None for source in sources) == 1, _ONE_SOURCE)
        return self

    @property
    def files(self) -> SqlOptions | PrismaOptions | None:
        """What says where in the image the SQL files are that we run; None for other tools."""
        return self.sql if self.tool is not Tool.PRISMA else self.prisma or PrismaOptions()

    @model_validator(mode="after")
    def _fits_the_tool(self) -> Self:
        is_sql = self.tool is Tool.SQL
        has_image = self.image is not None
        require(not self.tool.is_foreign or has_image, _OWN_IMAGE)
        require(is_sql or self.sql is None, _SQL_MEMBER)
        require(self.tool is Tool.ALEMBIC or self.alembic is None, _ALEMBIC_MEMBER)
        require(self.tool is Tool.DJANGO or self.django is None, _DJANGO_MEMBER)
        fits = self.tool is Tool.PRISMA and has_image
        require(self.prisma is None or fits, _PRISMA_MEMBER)
        require(self.tool is Tool.SEQUELIZE or self.sequelize is None, _SEQUELIZE_MEMBER)
        require(self.tool is Tool.TYPEORM or self.typeorm is None, _TYPEORM_MEMBER)
        require(not is_sql or (self.sql is not None) == has_image, _SQL_PATH)
        return self

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        is_sql, starts = self.tool is Tool.SQL, self.tool.is_foreign
        require(starts or not self.env, _NO_ENV)
        require(not (is_sql and self.working_dir), _NO_WORKING_DIR)
        require(self.image is not None or not self.working_dir, _NO_IMAGE_DIR)
        require(starts or self.database_url == DatabaseURL(), _NO_DATABASE_URL)
        require(not (is_sql and self.bookkeeping), _NO_BOOKKEEPING)
        require(not starts or self.atomicity is Atomicity.ALL, _OWN_TRANSACTIONS)
        return self
