"""Which MariaDB: a URL, parsed once by the standard library's own parser."""

import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from whimbrel.runner.target import ENCODE, Login, Target, read_port, refused, with_tls

SCHEME: Final = re.compile(r"(?:mysql|mariadb)(?:\+([a-z0-9_]+))?://", re.IGNORECASE)
_DEFAULT_PORT: Final = "3306"
_NEEDED: Final = (("host", "a host"), ("user", "a login"), ("dbname", "a database"))
# The words of MySQL's own clients for libpq's.
_MODES: Final = {
    "disabled": "disable",
    "preferred": "prefer",
    "required": "require",
    "verify_ca": "verify-ca",
    "verify_identity": "verify-full",
    "accept_invalid_certs": "prefer",
    "strict": "verify-full",
}
_KNOWN_MODES: Final = frozenset(_MODES.values())
# How each of them checks the name in the server's certificate.
_PYTHON_DRIVERS: Final = {
    "pymysql": ("ssl_verify_identity", "true"),
    "mysqldb": ("ssl_mode", "VERIFY_IDENTITY"),
}
_ALLOWED: Final = frozenset({"sslmode", "ssl-mode", "sslaccept", "charset", "unix_socket"})
# Words of other clients for a pool or a cache, of which we have none.
_IGNORED: Final = frozenset({
    "connection_limit", "pool_timeout", "socket_timeout", "connect_timeout",
    "statement_cache_size",
})  # fmt: skip


def parse_mariadb(text: str, *, ca_file: str | None = None) -> Target:
    """Return the target of a URL (mysql://, mariadb://, each also with +driver).

    Args:
        text: The URL as it stands in the Secret.
        ca_file: Path of the certificate authority; with it verify-full is the default.

    Raises:
        RefusedError: It cannot be read, or asks for something that is not allowed.
    """
    try:
        parts = urlsplit(text.strip())
        port = str(parts.port or _DEFAULT_PORT)
    except ValueError:
        # The parser quotes what it could not read, and that may be the password.
        raise refused("it cannot be read" + ENCODE) from None
    given = _parameters(parts)
    found = {
        "host": given.pop("unix_socket", "") or (parts.hostname or ""),
        "port": port,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "dbname": unquote(parts.path.removeprefix("/")),
    }
    return _checked(found, given, ca_file)


def mariadb_from_parts(parts: dict[str, str], *, ca_file: str | None = None) -> Target:
    """Return the target of the keys host, port, dbname, user and password, taken literally.

    Raises:
        RefusedError: A part is missing or wrong.
    """
    return _checked({key: value.strip("\r\n") for key, value in parts.items()}, {}, ca_file)


def _checked(parts: dict[str, str], given: dict[str, str], ca_file: str | None) -> Target:
    for name, word in _NEEDED:
        if not parts[name]:
            raise refused(f"{word} is missing" + ENCODE)
    if any("\0" in value for value in parts.values()):
        raise refused("it holds a NUL character")
    if "/" in parts["dbname"] or re.search(r"[@\s?#]", parts["host"]):
        raise refused("the host or the database holds a character that none has" + ENCODE)
    secured, warnings = with_tls(given, ca_file)
    return Target(
        host=parts["host"],
        port=read_port(parts["port"] or _DEFAULT_PORT),
        dbname=parts["dbname"],
        user=parts["user"],
        password=parts["password"],
        parameters=tuple(sorted(secured.items())),
        warnings=warnings,
        server="mariadb",
    )


def render_mariadb(
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
        scheme: For example ``mysql+pymysql``.
        login: Used instead of the target's own.
        options: A statement that each session of the tool runs first; drivers call it init_command.
        application_name: Not told: no server of this kind shows it.
    """
    del application_name
    who = login or Login(target.user, target.password)
    local = target.host.startswith("/")
    place = "localhost" if local else f"{target.host}:{target.port}"
    query = {"unix_socket": target.host} if local else {}
    driver = scheme.partition("+")[2]
    query |= _for_driver(driver, dict(target.parameters), options)
    tail = f"?{urlencode(query, quote_via=quote)}" if query else ""
    secret = f":{quote(who.password, safe='')}" if who.password else ""
    name = quote(target.dbname, safe="")
    return f"{scheme}://{quote(who.user, safe='')}{secret}@{place}/{name}{tail}"


def _for_driver(driver: str, given: dict[str, str], options: str) -> dict[str, str]:
    """Return what the Python drivers know, and for our wrapper, without a driver, libpq's words."""
    if not driver:
        return given | ({"init_command": options} if options else {})
    if driver not in _PYTHON_DRIVERS:
        if given.get("sslmode", "prefer") not in ("prefer", "disable"):
            known = " and ".join(sorted(_PYTHON_DRIVERS))
            raise refused(f"TLS cannot be asked of driver {driver}, only of {known}")
        return {}  # the watchdog bounds it without its help
    words = {"charset": "utf8mb4"} | ({"init_command": options} if options else {})
    if "sslrootcert" in given:
        words["ssl_ca"] = given["sslrootcert"]
        if given.get("sslmode") == "verify-full":
            words[_PYTHON_DRIVERS[driver][0]] = _PYTHON_DRIVERS[driver][1]
    return words


def _parameters(parts: SplitResult) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _IGNORED:
            continue
        if name not in _ALLOWED:
            # The name may be a part of a password with a stray "?".
            raise refused(f"a parameter in it is not allowed; allowed are {_allowed()}")
        if name == "unix_socket":
            found[name] = value
        elif name != "charset":  # ours is utf8mb4, whatever the application's is
            found["sslmode"] = _mode(value)
    return found


def _mode(value: str) -> str:
    mode = _MODES.get(value.lower(), value.lower())
    if mode not in _KNOWN_MODES:
        raise refused(f"sslmode is none of {', '.join(sorted(_KNOWN_MODES))}")
    return mode


def _allowed() -> str:
    return ", ".join(sorted(_ALLOWED))
