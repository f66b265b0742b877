"""No migration of a tool takes Whimbrel's ledger away: refused by its text, else Held."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mariadb import MariaDB
from tests.matrix.project import Project
from tests.matrix.projects.django import DjangoProject
from tests.matrix.projects.sequelize import SequelizeProject
from tests.matrix.projects.typeorm import TypeormProject
from tests.matrix.server import MariadbServer, PostgresServer
from tests.postgres import Postgres
from tests.runner_process import Attempt
from tests.scenarios import test_alembic_mariadb
from tests.scenarios.terminal import Said, Terminal
from tests.scenarios.test_alembic_mariadb import ENV, RUN, write
from tests.scenarios.test_runner_mariadb import tables
from whimbrel.planning.dialects import mariadb_ledger

pytestmark = pytest.mark.sampled("a ledger in a project's words")

project, attempt = test_alembic_mariadb.project, test_alembic_mariadb.attempt

MODEL = """
import sqlalchemy as sa
metadata = sa.MetaData()
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True),
         sa.Column("email", sa.String(60)), sa.Column("name", sa.String(60)))
"""
# As docs/databases/mariadb.md shows it.
INCLUDE = """
def include_name(name, type_, parent_names):
    return type_ != "table" or not name.startswith("whimbrel_")
"""
TOOLS: dict[str, Callable[..., Project]] = {
    "django": DjangoProject,
    "sequelize": SequelizeProject,
    "typeorm": TypeormProject,
}


def autogenerate(project: Path, mariadb: MariaDB, *, include: str = "") -> str:
    """Let Alembic compare, as a developer does with a copy of the database; return its file."""
    further = ", target_metadata=metadata" + (", include_name=include_name" if include else "")
    env = MODEL + include + ENV.replace("connection=connection", f"connection=connection{further}")
    (project / "migrations/env.py").write_text(env)
    (project / "migrations/script.py.mako").write_text(
        '"""${message}"""\nimport sqlalchemy as sa\nfrom alembic import op\n'
        "from sqlalchemy.dialects import mysql\nrevision = ${repr(up_revision)}\n"
        "down_revision = ${repr(down_revision)}\n\n\ndef upgrade():\n    ${upgrades}\n\n\n"
        "def downgrade():\n    ${downgrades}\n"
    )
    ini = project / "alembic.ini"
    url = mariadb.url.replace("mysql:", "mysql+pymysql:").replace("%", "%%")
    ini.write_text(ini.read_text().replace("mysql+pymysql://nobody@nowhere/x", url))
    words = ["-m", "alembic", "revision", "--autogenerate", "-m", "names", "--rev-id", "0003"]
    subprocess.run([sys.executable, *words], cwd=project, check=True)
    return (project / "migrations/versions/0003_names.py").read_text()


def test_what_alembic_compares_is_refused_before_anything_runs(
    attempt: Attempt, project: Path, mariadb: MariaDB
):
    assert attempt.run_to_end().code == 0
    text = autogenerate(project, mariadb)
    line = next(n for n, each in enumerate(text.splitlines(), 1) if "whimbrel_" in each)
    assert "op.drop_table('whimbrel_" in text
    refused = replace(attempt, run=f"{RUN}b").run_to_end()
    assert (refused.code, refused.result["reason"]) == (2, "LedgerNamed"), refused
    assert f"0003_names.py, line {line}: whimbrel_" in refused.result["message"]
    assert mariadb.run("SELECT version_num FROM alembic_version") == [("0002",)]
    assert mariadb.run("SELECT COUNT(*) FROM whimbrel_run WHERE state = 'done'") == [(1,)]


def test_with_the_lines_of_the_docs_alembic_leaves_the_ledger_out(
    attempt: Attempt, project: Path, mariadb: MariaDB
):
    assert attempt.run_to_end().code == 0
    text = autogenerate(project, mariadb, include=INCLUDE)
    assert "add_column" in text
    assert "whimbrel" not in text
    done = replace(attempt, run=f"{RUN}b").run_to_end()
    assert (done.code, done.result["revision"]) == (0, "0003"), done


@pytest.mark.parametrize(
    "lost",
    ["meta", "piece", "every table", "run", "attempt", "tool_run", "note"],
)
@pytest.mark.sampled("a name that is put together")
def test_a_name_that_is_put_together_is_held_and_never_done(
    lost: str, attempt: Attempt, project: Path, mariadb: MariaDB
):
    first = attempt.run_to_end()
    assert first.code == 0
    every = mariadb_ledger.tables(mariadb_ledger.LEDGER_VERSION)
    names = sorted(every) if lost == "every table" else [lost]
    write(project, "0003", "0002", "\n".join(f'op.drop_table("whim" + "brel_{n}")' for n in names))
    known = {name: first.result[name] for name in ("databaseUuid", "epoch")}
    later = replace(
        attempt,
        run=f"{RUN}b",
        order=(("known", {"database": known["databaseUuid"], "epoch": known["epoch"]}),),
    )
    held = later.run_to_end()
    assert (held.code, held.result["reason"]) == (3, "LedgerDamaged"), held
    assert f"has lost its tables {', '.join(names)}," in held.result["message"]
    again = later.next().run_to_end()
    gone = "LedgerMissing" if lost == "every table" else "LedgerDamaged"
    assert (again.code, again.result["reason"]) == (3, gone), again
    assert "whimbrel_meta" not in tables(mariadb) or lost != "every table"


def said_of(home: Path, tool: str, server: MariadbServer | PostgresServer, drop: str) -> Said:
    """Run a project whose newest migration holds a statement, with its server's scheme."""
    project = TOOLS[tool](home / "project", server)
    project.add("drop", [drop], [])
    terminal = Terminal(home, server.url)
    spec = {**project.migrations, "to": "head"}
    file = terminal.manifest({}, "shop", migrations=spec)
    return terminal.type(f"whimbrel run {file} --project {project.folder} -o json")


@pytest.mark.parametrize("tool", ["sequelize", "typeorm", "django"])
def test_tools_on_mariadb(tool: str, tmp_path: Path, mariadb: MariaDB):
    said = said_of(tmp_path, tool, MariadbServer(mariadb), "DROP TABLE whimbrel_step")
    told = json.loads(said.out)
    assert (said.code, told["reason"]) == (2, "LedgerNamed"), said
    assert ": whimbrel_step is whimbrel's ledger" in told["message"]
    assert not tables(mariadb)


@pytest.mark.parametrize(
    "tool", [pytest.param("sequelize", marks=pytest.mark.soak), "typeorm", "django"]
)
def test_tools_on_postgresql(tool: str, tmp_path: Path, database: Postgres):
    said = said_of(tmp_path, tool, PostgresServer(database), "DROP SCHEMA whimbrel CASCADE")
    told = json.loads(said.out)
    assert (said.code, told["reason"]) == (2, "LedgerNamed"), said
    assert ": SCHEMA whimbrel is whimbrel's ledger" in told["message"]
    assert database.run("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
