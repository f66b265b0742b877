"""The entry point `whimbrel` (also installed as `kubectl-whimbrel`)."""

import importlib
import sys
from typing import Annotated, Final

import typer
from typer.core import TyperCommand, TyperGroup

import whimbrel
from whimbrel.cli.screen import say
from whimbrel.model.errors import FailedError, HeldError, TransientError, WhimbrelError
from whimbrel.model.importing import collecting_nothing

COMMANDS: Final = (
    "run", "plan", "status", "watch", "history", "approve", "rollback", "retry", "resolve",
    "checkpoints", "conflicts", "gc", "new",
)  # fmt: skip


class CommandsByName(TyperGroup):
    """Loads the module of a command when it is called: `status` needs no database driver."""

    def list_commands(self, ctx: object) -> list[str]:
        """Return the names in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | None:
        """Return the command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        with collecting_nothing():
            module = importlib.import_module(f"whimbrel.cli.commands.{cmd_name}")
        command = typer.main.get_command(module.app)
        return command if isinstance(command, TyperCommand) else None


app = typer.Typer(
    cls=CommandsByName,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    # A traceback with local variables would show passwords.
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(whimbrel.__version__)
        raise typer.Exit


@app.callback()
def whimbrel_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Carry out database migrations that are declared as DatabaseMigration objects.

    Exit codes: 0 done or nothing to do; 1 failed, and the database is as before; 2 refused before
    anything was touched; 3 a human is needed; 75 not finished, safe to run again.
    """


def exit_code(error: WhimbrelError) -> int:
    """Return the exit code that the class of an error stands for."""
    match error:
        case FailedError():
            return 1
        case HeldError():
            return 3
        case TransientError():
            return 75
        case _:
            return 2


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        app()
    except WhimbrelError as error:
        say(f"error: {error.message}")
        if error.command:
            say(f"do: {error.command}")
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(75)
