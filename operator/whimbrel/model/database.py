"""Which database, and the keys of Secrets and ConfigMaps in the object's namespace."""

from enum import StrEnum
from typing import Final, Self

from pydantic import ConfigDict, Field, model_validator

from whimbrel.model.bounds import DataKey, Frozen, Identifier, ObjectName, require, rules

ONE_REFERENCE: Final = "name exactly one of configMapKeyRef and secretKeyRef"
_ONE_DATABASE: Final = "name exactly one of urlFrom and partsFrom"


class NameRef(Frozen):
    """The name of an object in the same namespace."""

    name: ObjectName = Field(description="Name of the object.")


class KeyRef(Frozen):
    """One key of one Secret or ConfigMap in the object's namespace."""

    name: ObjectName = Field(description="Name of the Secret or ConfigMap.")
    key: DataKey = Field(description="Key inside it.")


class SecretSource(Frozen):
    """A value that only Jobs mount; the operator never reads it."""

    secret_key_ref: KeyRef = Field(description="The key of a Secret in the same namespace.")


class KeySource(Frozen):
    """One key of either a ConfigMap or a Secret."""

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


class Tls(Frozen):
    """TLS to the database: verify-full is the default where a CA is named."""

    ca_from: KeySource = Field(description="The certificate authority that signed the server.")


class Engine(StrEnum):
    """The kind of server; a URL says it itself."""

    POSTGRESQL = "PostgreSQL"
    MARIADB = "MariaDB"


class PartsFrom(Frozen):
    """The parts of the connection as keys of one Secret."""

    engine: Engine = Field(
        Engine.POSTGRESQL, description="Kind of the server, which no key of the Secret tells."
    )
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
                _ONE_DATABASE,
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

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        require((self.url_from is None) != (self.parts_from is None), _ONE_DATABASE)
        return self
