"""Which PostgreSQL: a URL or its parts, parsed by libpq's own parser, rendered for any tool."""

import re
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from whimbrel.model.errors import RefusedError
from whimbrel.planning.dialects.postgresql import quote_identifier

# Everything else is refused: passfile, service, sslkey and the like would read files of the
# runner's Pod, hostaddr would go elsewhere than the certificate's name says.
ALLOWED: Final = frozenset({
    "sslmode", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version",
    "channel_binding", "require_auth", "gssencmode", "target_session_attrs", "load_balance_hosts",
    "connect_timeout", "options", "application_name", "client_encoding", "keepalives",
    "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
})  # fmt: skip
_PARTS: Final = frozenset({"host", "port", "dbname", "user", "password"})
# Names that may be printed: a stray "?" in a password makes the rest of it look like parameters.
_KNOWN: Final = frozenset({
    "passfile", "service", "servicefile", "sslcert", "sslkey", "sslpassword", "sslrootcert",
    "sslcrl", "sslcrldir", "hostaddr", "krbsrvname", "gsslib", "requirepeer", "replication",
    "fallback_application_name", "sslaccept", "sslidentity", "ssl", "sslkeylogfile",
})  # fmt: skip
# Words of other clients for a pool or a cache, of which we have none.
_IGNORED: Final = frozenset({
    "connection_limit", "pool_timeout", "pgbouncer", "socket_timeout", "statement_cache_size",
})  # fmt: skip
_SCHEMA: Final = "schema"  # where unqualified names go, as other clients say it
_SCHEME: Final = re.compile(r"(?:postgres|postgresql)(?:\+([a-z0-9_]+))?://", re.IGNORECASE)
_LIBPQ_DRIVERS: Final = frozenset({"", "psycopg", "psycopg_async", "psycopg2", "psycopg2cffi"})
ENCODE: Final = (
    "; in user and password write % as %25, @ as %40, / as %2F, : as %3A, ? as %3F and # as %23"
)


@dataclass(frozen=True)
class Target:
    """One database as one login reaches it.

    Attributes:
        host: Host, several hosts with commas, or the directory of a Unix socket.
        parameters: Further parameters of the driver, sorted by name.
        warnings: Sentences for status; the first word is the reason, then a colon.
        server: Kind of the server, as `servers.KINDS` names it.
    """

    host: str
    port: int
    dbname: str
    user: str
    password: str = field(repr=False)
    parameters: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    server: str = "postgresql"

    def __str__(self) -> str:
        """Return host:port/database, fit for messages."""
        return f"{self.host}:{self.port}/{self.dbname}"


def parse_postgresql(url: str, *, ca_file: str | None = None) -> Target:
    """Return the target of a URL (postgres://, postgresql://, postgresql+driver://).

    Args:
        url: The URL as it stands in the Secret.
        ca_file: Path of the certificate authority; with it verify-full is the default.

    Raises:
        RefusedError: It cannot be read, or asks for something that is not allowed. The sentence
            holds no part of the URL but known parameter names.
    """
    text = url.strip()
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise refused("it must begin with postgresql:// or mysql:// (or postgresql+driver://)")
    plain, schema = _without_foreign_words("postgresql://" + text[scheme.end() :])
    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(plain).items()}
    except psycopg.Error:
        # libpq quotes what it could not read, and that may be the password.
        raise refused("libpq cannot read it" + ENCODE) from None
    if schema:
        parts["options"] = f"{parts.get('options', '')} {_search_path(schema)}".strip()
    return _checked(parts, ca_file)


def target_from_parts(parts: dict[str, str], *, ca_file: str | None = None) -> Target:
    """Return the target of the keys host, port, dbname, user and password, taken literally.

    Raises:
        RefusedError: A part is missing or wrong.
    """
    known = {key: value.strip("\r\n") for key, value in parts.items() if key in _PARTS}
    return _checked(known, ca_file)


def _without_foreign_words(url: str) -> tuple[str, str]:
    """Return a URL that libpq can read, and the schema that the words taken out of it named."""
    plain, mark, query = url.partition("?")
    _refuse_parameters(query)
    words = [(unquote(word.partition("=")[0]), word) for word in query.split("&")]
    rest = "&".join(word for name, word in words if name not in {*_IGNORED, _SCHEMA})
    schemas = [unquote(word.partition("=")[2]) for name, word in words if name == _SCHEMA]
    return plain + mark + rest, "".join(schemas[-1:])


def _search_path(schema: str) -> str:
    """Return the option of a session, ours or a tool's, that sends unqualified names there."""
    return "-c search_path=" + re.sub(r"([\\\s])", r"\\\1", quote_identifier(schema))


def _refuse_parameters(query: str) -> None:
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    for name in names:
        if name in ALLOWED | _PARTS | _IGNORED | {_SCHEMA}:
            continue
        shown = f"the parameter {name}" if name in _KNOWN else "a parameter in it"
        raise refused(f"{shown} is not allowed; allowed are {', '.join(sorted(ALLOWED))}")


def _checked(parts: dict[str, str], ca_file: str | None) -> Target:
    for name, word in (("host", "a host"), ("user", "a login"), ("dbname", "a database")):
        if not parts.get(name):
            raise refused(f"{word} is missing" + ENCODE)
    if any("\0" in value for value in parts.values()):
        raise refused("it holds a NUL character")
    host = parts["host"]
    if not host.startswith("/") and re.search(r"[@/\s?#]", host):
        raise refused("the host holds a character that no host has" + ENCODE)
    extra = {key: value for key, value in parts.items() if key not in _PARTS}
    parameters, warnings = with_tls(extra, ca_file)
    return Target(
        host=host,
        port=read_port(parts.get("port", "") or "5432"),
        dbname=parts["dbname"],
        user=parts["user"],
        password=parts.get("password", ""),
        parameters=tuple(sorted(parameters.items())),
        warnings=warnings,
    )


def read_port(text: str) -> int:
    """Return the port that is the same for all hosts.

    Raises:
        RefusedError: It is none.
    """
    ports = set(text.split(","))
    if len(ports) > 1:
        raise refused("several hosts must have the same port")
    only = ports.pop()
    if not re.fullmatch(r"[0-9]{1,5}", only) or not 0 < int(only) < 65536:
        raise refused("the port is not a number from 1 to 65535" + ENCODE)
    return int(only)


def with_tls(
    parameters: dict[str, str], ca_file: str | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the parameters with what a named authority means, and warnings."""
    if ca_file is None:
        return parameters, ()
    mode = parameters.get("sslmode", "verify-full")
    secured = {**parameters, "sslmode": mode, "sslrootcert": ca_file}
    if mode == "verify-full":
        return secured, ()
    sentence = (
        f"WeakTLS: the URL says sslmode={mode}, so the name in the server's certificate is not "
        "checked although a certificate authority is named; leave sslmode out for verify-full"
    )
    return secured, (sentence,)


def refused(problem: str) -> RefusedError:
    """Return the refusal of a URL; the problem holds no part of it."""
    return RefusedError("InvalidURL", f"the database URL is refused: {problem}")


def conninfo(target: Target, **overrides: str | int) -> str:
    """Return libpq's connection string; overrides win over what the URL says."""
    parts = {
        "host": target.host,
        "port": _ports(target),
        "dbname": target.dbname,
        "user": target.user,
    }
    if target.password:
        parts["password"] = target.password
    words = {key: str(value) for key, value in overrides.items()}
    return make_conninfo(**{**parts, **dict(target.parameters), **words})


def _ports(target: Target) -> str:
    return ",".join([str(target.port)] * (target.host.count(",") + 1))


@dataclass(frozen=True)
class Login:
    """Another login for the same database.

    Attributes:
        user: Its name.
    """

    user: str
    password: str = field(repr=False)


def with_login(target: Target, login: Login) -> Target:
    """Return the same database as another login reaches it."""
    return replace(target, user=login.user, password=login.password)


def render_url(
    target: Target,
    scheme: str,
    *,
    login: Login | None = None,
    options: str = "",
    application_name: str = "",
) -> str:
    """Return the URL as a tool wants it, everything percent-encoded.

    Args:
        target: The database.
        scheme: For example ``postgresql+psycopg``.
        login: Used instead of the target's own.
        options: Command-line options for the server, after those of the target: the last one wins.
        application_name: Used instead of the target's own.
    """
    who = login or Login(target.user, target.password)
    secret = f":{quote(who.password, safe='')}" if who.password else ""
    place, query = _place(target)
    ours = {"application_name": application_name, "options": options}
    query |= _parameters_for(target, scheme.partition("+")[2], ours)
    tail = f"?{urlencode(query, quote_via=quote)}" if query else ""
    name = quote(target.dbname, safe="")
    return f"{scheme}://{quote(who.user, safe='')}{secret}@{place}/{name}{tail}"


def _place(target: Target) -> tuple[str, dict[str, str]]:
    if target.host.startswith("/") or "," in target.host:
        return "", {"host": target.host, "port": _ports(target)}
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{host}:{target.port}", {}


def _parameters_for(target: Target, driver: str, ours: dict[str, str]) -> dict[str, str]:
    given = dict(target.parameters)
    if driver not in _LIBPQ_DRIVERS:
        # asyncpg knows `ssl` and none of libpq's other words; further drivers know neither.
        mode = given.get("sslmode")
        return {"ssl": mode} if driver == "asyncpg" and mode else {}
    # In the URL, not only in PGAPPNAME and PGOPTIONS: libpq lets what a URL says win over these.
    joined = " ".join(text for text in (given.get("options"), ours["options"]) if text)
    words = {**ours, "options": joined}
    return given | {name: word for name, word in words.items() if word}
