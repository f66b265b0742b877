"""What of the user's project is at hand here: SQL files, variables, the certificate authority."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from whimbrel.cli.manifest import Manifest
from whimbrel.model.errors import RefusedError
from whimbrel.model.spec import EnvVar, Tool

MAX_FILE_BYTES: Final = 16 * 1024 * 1024


def sql_files(manifest: Manifest, project: Path | None) -> Mapping[str, str] | None:
    """Return file name to text for tool sql, None for a foreign tool.

    Raises:
        RefusedError: The files are not at hand; the sentence says how to name them.
    """
    wanted = manifest.spec.migrations
    if wanted.tool is not Tool.SQL:
        return None
    if project is not None:
        return read_directory(project)
    if wanted.inline is not None:
        return wanted.inline.files
    if wanted.config_map_ref is not None:
        return _from_config_map(manifest, wanted.config_map_ref.name)
    raise RefusedError(
        "FilesMissing",
        f"the SQL files are in the image {wanted.image}: name their directory here with "
        "--project DIR",
    )


def _from_config_map(manifest: Manifest, name: str) -> Mapping[str, str]:
    try:
        return manifest.config_maps[name]
    except KeyError:
        raise RefusedError(
            "FilesMissing",
            f"the ConfigMap {name} is not in {manifest.path}: add it to that file, or name the "
            "directory of the SQL files with --project DIR",
        ) from None


def read_directory(directory: Path) -> Mapping[str, str]:
    """Return every `*.sql` file of a directory by name."""
    if not directory.is_dir():
        raise RefusedError("FilesMissing", f"--project {directory}: there is no such directory")
    return {path.name: _text(path) for path in sorted(directory.glob("*.sql"))}


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            limit = MAX_FILE_BYTES // 1024 // 1024
            raise RefusedError("FileTooLarge", f"{path}: is larger than {limit} MiB")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError("BadFile", f"{path}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise RefusedError("BadFile", f"{path}: cannot be read: {error.strerror}") from None


def variables(manifest: Manifest, here: Mapping[str, str]) -> dict[str, str]:
    """Return the tool's further variables; a value from a Secret is taken from the same variable.

    Args:
        manifest: Its ConfigMaps are looked into.
        here: The environment of this process.
    """
    return {each.name: _value(each, manifest, here) for each in manifest.spec.migrations.env}


def _value(variable: EnvVar, manifest: Manifest, here: Mapping[str, str]) -> str:
    if variable.value is not None:
        return variable.value
    source = variable.value_from and variable.value_from.config_map_key_ref
    if source and source.key in manifest.config_maps.get(source.name, {}):
        return manifest.config_maps[source.name][source.key]
    if variable.name in here:
        return here[variable.name]
    raise RefusedError(
        "VariableMissing",
        f"the variable {variable.name} comes from the cluster: set it here in the environment",
    )
