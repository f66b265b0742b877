"""The project of examples/tools/sql, by examples/sql.yaml: up, down, up on each kind of server."""

import json
from pathlib import Path

import pytest
import yaml

from tests.matrix.server import MariadbServer, PostgresServer
from tests.scenarios.terminal import ROOT, Terminal

PROJECT = ROOT / "examples/tools/sql/migrations"
TYPE = (
    "SELECT data_type FROM information_schema.columns"
    " WHERE table_name = 'users' AND column_name = 'tags'"
)
ROWS = "SELECT id, email FROM users ORDER BY id"
USERS = [(1, "ada.lovelace@example.com"), (2, "grace.hopper@example.com")]


@pytest.mark.parametrize(
    ("fixture", "kind", "json_type"),
    [("database", PostgresServer, "jsonb"), ("mariadb", MariadbServer, "longtext")],
    ids=["postgresql", "mariadb"],
)
def test_up_down_and_up_again_from_the_same_files_and_manifest(
    fixture: str, kind: type, json_type: str, request, tmp_path: Path
):
    server = kind(request.getfixturevalue(fixture))
    terminal = Terminal(tmp_path, server.url)
    manifest = yaml.safe_load((ROOT / "examples/sql.yaml").read_text())

    def to(revision: str) -> None:
        manifest["spec"]["migrations"]["to"] = revision
        (tmp_path / "sql.yaml").write_text(yaml.safe_dump(manifest))
        said = terminal.type(f"whimbrel run sql.yaml --project {PROJECT} -o json")
        assert said.code == 0, said
        reached = "004" if revision == "head" else revision
        assert json.loads(said.out)["revision"] == reached, said

    to("001")
    first = server.shape()
    to("head")
    newest = server.shape()
    assert server.rows(ROWS) == USERS
    assert server.rows(TYPE) == [(json_type,)]
    to("001")
    assert server.shape() == first
    to("head")
    assert server.shape() == newest
    assert server.rows(ROWS) == USERS
