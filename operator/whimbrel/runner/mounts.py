"""What Kubernetes mounts into a Job's Pod: the order, the Secret's parts, files, the socket."""

from pathlib import Path
from typing import Final

from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.model.order import Order
from whimbrel.model.spec import PartsFrom, Spec
from whimbrel.planning.tools.registry import file_tool
from whimbrel.runner.files import read_directory
from whimbrel.runner.target import Target
from whimbrel.runner.urls import FROM_PARTS, parse_target

ROOT: Final = Path("/whimbrel")
# A ConfigMap has keys and no folders. Its mount has links to the files, and a hidden folder.
_KEYS: Final = ("*.sql", "*.toml")


def read_order(root: Path = ROOT) -> Order:
    """Return the order that the downward API mounted."""
    return Order.model_validate_json((root / "order/order.json").read_bytes())


def read_target(spec: Spec, root: Path = ROOT) -> Target:
    """Return the database and login of the spec's Secret.

    Raises:
        TransientError: The Secret, its key, or the CA is not there (yet), or it holds no text.
        RefusedError: The URL is none.
    """
    ca_file = _ca_file(spec, root)
    source = spec.database
    if source.url_from is not None:
        reference = source.url_from.secret_key_ref
        url = _value(root / "database/url", f"Secret {reference.name!r}", reference.key)
        return parse_target(url, ca_file=ca_file)
    assert source.parts_from is not None  # noqa: S101  # parse_spec allows exactly one of them
    parts = _parts(source.parts_from, root)
    return FROM_PARTS[source.parts_from.engine](parts, ca_file=ca_file)


def read_run_target(spec: Spec, root: Path = ROOT) -> Target | None:
    """Return the login that a DBA prepared for the runs, or None."""
    if spec.database.run_role is None:
        return None
    reference = spec.database.run_role.secret_key_ref
    url = _value(root / "run-role/url", f"Secret {reference.name!r}", reference.key)
    return parse_target(url, ca_file=_ca_file(spec, root))


def read_files(spec: Spec, root: Path = ROOT) -> dict[str, str] | None:
    """Return the migration files by name, or None for a foreign tool.

    Raises:
        TransientError: The ConfigMap is not there (yet).
        RefusedError: A file is too large or no UTF-8.
    """
    wanted = spec.migrations
    if wanted.tool.is_foreign:
        return None
    if wanted.inline is not None:
        return dict(wanted.inline.files)
    if wanted.config_map_ref is not None:
        files = read_directory(root / "files", _KEYS)
        if not files:
            raise TransientError(
                "ConfigMapMissing",
                f"ConfigMap {wanted.config_map_ref.name!r} does not exist in this namespace or is "
                "empty; create it, the run goes on by itself",
            )
        return files
    return _copied_from_image(root / "shared/files", file_tool(wanted.tool).patterns)


def _copied_from_image(folder: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    """Read what the launcher copied out of the user's image, or say why it could not."""
    problem = folder.with_name(folder.name + ".error")
    if problem.is_file():
        raise RefusedError("FilesNotInImage", problem.read_text(encoding="utf-8").strip())
    return read_directory(folder, patterns)


def _parts(source: PartsFrom, root: Path) -> dict[str, str]:
    secret = f"Secret {source.secret_ref.name!r}"
    names = {"host": source.host, "port": source.port, "dbname": source.name}
    logins = {"user": source.user, "password": source.password}
    return {
        part: _value(root / "database" / (_MOUNTED.get(part, part)), secret, key)
        for part, key in (names | logins).items()
    }


_MOUNTED: Final = {"dbname": "name"}


def _ca_file(spec: Spec, root: Path) -> str | None:
    if spec.database.tls is None:
        return None
    source = spec.database.tls.ca_from
    reference = source.config_map_key_ref or source.secret_key_ref
    path = root / "ca/ca.crt"
    if reference is not None and not path.is_file():
        kind = "ConfigMap" if source.config_map_key_ref else "Secret"
        raise _missing(f"{kind} {reference.name!r}", reference.key)
    return str(path)


def _value(path: Path, owner: str, key: str) -> str:
    if not path.is_file():
        raise _missing(owner, key)
    try:
        # kubectl create secret --from-file keeps the newline that an editor wrote.
        return path.read_bytes().decode().strip("\r\n")
    except UnicodeDecodeError as error:
        raise TransientError(
            "SecretNotText",
            f"{owner}: what stands under the key {key!r} is no UTF-8 (byte {error.start}); write "
            "it again, the run goes on by itself",
        ) from None


def _missing(owner: str, key: str) -> TransientError:
    return TransientError(
        "SecretMissing",
        f"{owner} with the key {key!r} does not exist in this namespace; create it, the run goes "
        "on by itself",
    )
