"""What an example decides by dialect, asked of the server: JSONB on PostgreSQL, JSON on MariaDB."""

import shlex
import shutil
from pathlib import Path

import pytest

from tests.matrix.server import MariadbServer, PostgresServer
from tests.scenarios.terminal import ROOT, Terminal

pytestmark = pytest.mark.sampled("an example by dialect")

TYPE = (
    "SELECT data_type FROM information_schema.columns"
    " WHERE table_name = 'users' AND column_name = 'tags'"
)
# MariaDB's JSON is longtext with a check. It refuses what is no JSON, and so does jsonb.
TAGGED = "UPDATE users SET tags = '{}' WHERE id = 1"
SERVERS = {
    "postgresql": ("database", PostgresServer, "jsonb"),
    "mariadb": ("mariadb", MariadbServer, "longtext"),
}
ALEMBIC = {"workingDir": "/app", "databaseURL": {"scheme": "postgresql+psycopg"}}
PATHS = {"postgresql": "prisma/migrations", "mariadb": "prisma/mysql/migrations"}


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("tool", ["alembic", "prisma"])
def test_the_column_has_the_type_of_its_server(tool: str, kind: str, request, tmp_path: Path):
    fixture, server_of, expected = SERVERS[kind]
    server = server_of(request.getfixturevalue(fixture))
    terminal = Terminal(tmp_path, server.url)
    ignore = shutil.ignore_patterns("__pycache__")
    project = shutil.copytree(ROOT / f"examples/tools/{tool}", tmp_path / "project", ignore=ignore)
    wanted = ALEMBIC if tool == "alembic" else {"prisma": {"path": PATHS[kind]}}
    file = terminal.manifest({}, migrations={"tool": tool, "image": "shop:1", **wanted})
    said = terminal.type(f"whimbrel run {file} --project {shlex.quote(str(project))}")
    assert said.code == 0, said
    assert server.rows(TYPE) == [(expected,)]
    server.rows(TAGGED.format('["a"]'))
    with pytest.raises(Exception, match=r"(?i)invalid input syntax for type json|constraint"):
        server.rows(TAGGED.format("["))
