"""The options that several commands share: each group is a frozen dataclass."""

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer

STATE_DIR: Final = Path(".whimbrel")
URL_VARIABLE: Final = "WHIMBREL_URL"


class Form(StrEnum):
    """How an answer is written to standard output."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True)
class Place:
    """Where the object is looked for, and how the answer is written."""

    namespace: Annotated[
        str, typer.Option("-n", "--namespace", help="Namespace of the object.", show_default=False)
    ] = ""
    form: Annotated[Form, typer.Option("-o", "--output", help="How to write the answer.")] = (
        Form.TABLE
    )
    state_dir: Annotated[
        Path,
        typer.Option(
            "--state-dir",
            envvar="WHIMBREL_STATE_DIR",
            help="Directory of the local records and of the embedded PostgreSQL.",
        ),
    ] = STATE_DIR
    kubeconfig: Annotated[
        str, typer.Option("--kubeconfig", help="Act in this cluster.", show_default=False)
    ] = ""
    context: Annotated[
        str, typer.Option("--context", help="Context of the kubeconfig.", show_default=False)
    ] = ""

    def wants_cluster(self) -> bool:
        """Return whether the user named a cluster."""
        return bool(self.kubeconfig or self.context)


@dataclass(frozen=True)
class Connection:
    """Which database, and what of the user's project is at hand here."""

    url: Annotated[
        str,
        typer.Option(
            "--url",
            envvar=URL_VARIABLE,
            help="The database; without it an embedded PostgreSQL is started.",
            show_default=False,
        ),
    ] = ""
    ca_file: Annotated[
        str,
        typer.Option("--ca-file", help="Certificate authority of the server.", show_default=False),
    ] = ""
    project: Annotated[
        Path | None,
        typer.Option(
            "--project",
            help="Directory of the SQL files (tool sql) or of the project (other tools).",
            show_default=False,
        ),
    ] = None
    wait: Annotated[
        str, typer.Option("--wait", help="How long to wait for what heals by itself.")
    ] = "30s"
    keep: Annotated[bool, typer.Option("--keep", help="Leave the embedded PostgreSQL running.")] = (
        False
    )


@dataclass(frozen=True)
class Consent:
    """A person accepts that a way back destroys what salvage does not cover."""

    allow_data_loss: Annotated[
        bool,
        typer.Option(
            "--allow-data-loss",
            help="Let a way back destroy what salvage does not cover; needs --by and --reason.",
        ),
    ] = False
    by: Annotated[str, typer.Option("--by", help="Who accepts it.", show_default=False)] = ""
    reason: Annotated[str, typer.Option("--reason", help="Why.", show_default=False)] = ""


Group = type[Place] | type[Connection] | type[Consent]
_GROUPS: Final[dict[object, Group]] = {each: each for each in (Place, Connection, Consent)}


def command_app() -> typer.Typer:
    """Return the application of one command; `main` finds it as `app` in the command's module."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with each parameter that is a dataclass spread into its fields.

    Typer reads the options of a command from its signature alone.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: _GROUPS[hint] for name, hint in hints.items() if hint in _GROUPS}
    parameters = list(_spread(command, hints))

    @functools.wraps(command)
    def gathered(**values: object) -> None:
        for name, group in groups.items():
            kind: Callable[..., object] = group
            values[name] = kind(**{each.name: values.pop(each.name) for each in fields(group)})
        command(**values)

    gathered.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by inspect
    gathered.__annotations__ = {each.name: each.annotation for each in parameters}
    return gathered


def _spread(command: Callable[..., None], hints: dict[str, Any]) -> Iterator[inspect.Parameter]:
    for name, parameter in inspect.signature(command).parameters.items():
        if hints[name] in _GROUPS:
            yield from _members(_GROUPS[hints[name]])
        else:
            yield parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)


def _members(group: Group) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for member in fields(group):
        yield inspect.Parameter(
            member.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=member.default,
            annotation=hints[member.name],
        )
