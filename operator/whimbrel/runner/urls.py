"""The URL of a database, whose beginning says which kind of server it is; or its parts."""

from typing import Final

from whimbrel.model.database import Engine
from whimbrel.runner.mariadb_target import SCHEME, mariadb_from_parts, parse_mariadb
from whimbrel.runner.target import Target, parse_postgresql, target_from_parts

FROM_PARTS: Final = {Engine.POSTGRESQL: target_from_parts, Engine.MARIADB: mariadb_from_parts}


def parse_target(url: str, *, ca_file: str | None = None) -> Target:
    """Return the target of a URL.

    Args:
        url: The URL as it stands in the Secret.
        ca_file: Path of the certificate authority; with it verify-full is the default.

    Raises:
        RefusedError: It cannot be read, or asks for something that is not allowed. The sentence
            holds no part of the URL but known parameter names.
    """
    text = url.strip()
    if SCHEME.match(text):
        return parse_mariadb(text, ca_file=ca_file)
    return parse_postgresql(text, ca_file=ca_file)
