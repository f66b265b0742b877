from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cli.test_orders import manifest
from whimbrel.cli.project import sql_files, variables
from whimbrel.model.errors import RefusedError
from whimbrel.model.spec import parse_spec


def with_source(**source: object):
    spec = {
        "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
        "migrations": {"tool": "sql"} | source,
    }
    return replace(manifest(), spec=parse_spec(spec))


def test_where_the_files_come_from(tmp_path):
    (tmp_path / "001_a.up.sql").write_text("SELECT 2")
    (tmp_path / "README.md").write_text("no migration")
    assert sql_files(manifest(), None) == {"001_a.up.sql": "SELECT 1"}
    assert sql_files(manifest(), tmp_path) == {"001_a.up.sql": "SELECT 2"}
    by_name = replace(
        with_source(configMapRef={"name": "files"}), config_maps={"files": {"a": "b"}}
    )
    assert sql_files(by_name, None) == {"a": "b"}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param({"configMapRef": {"name": "x"}}, "ConfigMap x is not in", id="config map"),
        pytest.param({"image": "i:1", "sql": {"path": "/m"}}, "in the image i:1", id="image"),
    ],
)
def test_files_that_are_not_here_are_asked_for(source, words):
    with pytest.raises(RefusedError, match=words) as refused:
        sql_files(with_source(**source), None)
    assert "--project DIR" in refused.value.message


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "001_a.up.sql").write_bytes(b"\xff")
    with pytest.raises(RefusedError, match=r"001_a.up.sql: byte 0 is no UTF-8"):
        sql_files(manifest(), tmp_path)
    with (tmp_path / "001_a.up.sql").open("r+b") as file:
        file.truncate(17 * 1024 * 1024)
    with pytest.raises(RefusedError, match=r"001_a.up.sql: 17825792 bytes"):
        sql_files(manifest(), tmp_path)
    with pytest.raises(RefusedError, match="no such directory"):
        sql_files(manifest(), tmp_path / "nothing")


def test_folders_of_a_project_of_prisma(tmp_path):
    folder = tmp_path / "prisma/migrations/1_a"
    folder.mkdir(parents=True)
    (folder / "migration.sql").write_text("SELECT 1")
    (folder / "notes.sql").write_text("no migration")
    (folder.parent / "empty").mkdir()
    (folder.parent / "migration_lock.toml").write_text('provider = "postgresql"')
    read = {
        "1_a/": "",
        "1_a/migration.sql": "SELECT 1",
        "empty/": "",
        "migration_lock.toml": 'provider = "postgresql"',
    }
    wanted = with_source(tool="prisma", image="i:1")
    assert sql_files(wanted, tmp_path) == sql_files(wanted, folder.parent) == read


def test_variables_come_from_the_object_or_from_here(tmp_path):
    secret = {"secretKeyRef": {"name": "s", "key": "k"}}
    env = [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": secret}]
    tool = manifest(tool="alembic", image="shop:1", inline=None, env=env)
    wanted = replace(manifest(), path=Path("x.yaml"), spec=tool.spec, config_maps={})
    assert variables(wanted, {"A": "no", "B": "2"}) == {"A": "1", "B": "2"}
    with pytest.raises(RefusedError, match="variable B comes from the cluster"):
        variables(wanted, {})
