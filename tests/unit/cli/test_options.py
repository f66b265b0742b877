from pathlib import Path

import pytest
from typer.testing import CliRunner

from whimbrel.cli.main import COMMANDS, app
from whimbrel.cli.options import Connection, Place, command_app, grouped


def test_a_group_is_spread_into_options_and_gathered_again():
    got = []
    spread = command_app()

    @spread.command()
    @grouped
    def act(place: Place, connection: Connection, name: str) -> None:
        got.append((place, connection, name))

    words = ["shop", "-n", "team", "--state-dir", "/s", "--url", "postgresql://x"]
    assert CliRunner().invoke(spread, words, env={"WHIMBREL_URL": ""}).exit_code == 0
    assert got == [
        (
            Place(namespace="team", state_dir=Path("/s")),
            Connection(url="postgresql://x"),
            "shop",
        )
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    told = CliRunner().invoke(app, [command, "--help"])
    assert told.exit_code == 0
    assert "--help" in told.output


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["nothing"], id="unknown command"),
        pytest.param(["run"], id="argument missing"),
        pytest.param(["run", "x.yaml", "--nope"], id="unknown option"),
        pytest.param(["status", "shop", "-o", "xml"], id="unknown form"),
        pytest.param(["resolve", "shop", "--as", "Magic"], id="unknown verdict"),
    ],
)
def test_a_usage_error_is_exit_code_2(words):
    assert CliRunner().invoke(app, words).exit_code == 2
