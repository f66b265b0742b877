"""What of the user's project is at hand here: SQL files, variables, the certificate authority."""

from collections.abc import Mapping
from pathlib import Path

from whimbrel.cli.manifest import Manifest
from whimbrel.model.errors import RefusedError
from whimbrel.model.spec import EnvVar, Migrations
from whimbrel.planning.tools.registry import file_tool
from whimbrel.runner.files import read_directory


def sql_files(manifest: Manifest, project: Path | None) -> Mapping[str, str] | None:
    """Return file name to text, None for a foreign tool.

    Raises:
        RefusedError: The files are not at hand; the sentence says how to name them.
    """
    wanted = manifest.spec.migrations
    if wanted.tool.is_foreign:
        return None
    if project is not None:
        return read_directory(_directory(wanted, project), file_tool(wanted.tool).patterns)
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


def _directory(wanted: Migrations, project: Path) -> Path:
    """Return where the files are: below the project where its image has them so, else it itself."""
    if not project.is_dir():
        raise RefusedError("FilesMissing", f"--project {project}: there is no such directory")
    below = project / wanted.files.path if wanted.files is not None else project
    return below if below.is_dir() and below.is_relative_to(project) else project


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
