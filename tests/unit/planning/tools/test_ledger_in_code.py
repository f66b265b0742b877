"""Which text of a migration names the ledger, and which only looks like it."""

from dataclasses import replace

import pytest

from tests.unit.planning.tools.test_alembic import facts, project, revision, spec
from whimbrel.model.errors import RefusedError
from whimbrel.planning.tools.alembic import ALEMBIC
from whimbrel.planning.tools.foreign_down import plan_down
from whimbrel.planning.tools.foreign_up import plan_up
from whimbrel.planning.tools.ledger_in_code import refuse_ledger

MARIADB, POSTGRESQL = "mariadb", "postgresql"


def line_told(server: str, file: str, text: str) -> str:
    """Return what the refusal begins with, or "" where there is none."""
    told = replace(revision("0003", text=text), file=f"m.{file}")
    try:
        refuse_ledger(spec(), facts(dialect=server), [told])
    except RefusedError as error:
        return error.message.partition(" is whimbrel's ledger")[0]
    return ""


@pytest.mark.parametrize(
    ("server", "file", "text", "expected"),
    [
        pytest.param(
            MARIADB, "py", "def upgrade():\n    op.drop_table('whimbrel_run')\n",
            "m.py, line 2: whimbrel_run", id="as autogenerate writes it",
        ),
        pytest.param(
            MARIADB, "py", 'op.execute("""\nDROP TABLE\nWhimbrel_Meta""")',
            "m.py, line 3: Whimbrel_Meta", id="SQL in three lines, another case",
        ),
        pytest.param(
            MARIADB, "js", 'q.query("DROP TABLE\\nwhimbrel_tool_run")',
            "m.js, line 1: whimbrel_tool_run", id="after an escaped line end",
        ),
        pytest.param(
            MARIADB, "ts", "await q.query(`DROP TABLE shop.whimbrel_step`)",
            "m.ts, line 1: whimbrel_step", id="with the database before it",
        ),
        pytest.param(
            MARIADB, "py", "op.drop_table('whimbrel_salvage_run_ab_1')",
            "m.py, line 1: whimbrel_salvage_run_ab_1", id="a copy that a rollback left",
        ),
        pytest.param(
            POSTGRESQL, "py", "op.drop_table('run', schema='whimbrel')",
            "m.py, line 1: schema='whimbrel'", id="as autogenerate writes it there",
        ),
        pytest.param(
            POSTGRESQL, "js", 'q.query("DROP TABLE \\"whimbrel\\" . \\"run\\"")',
            'm.js, line 1: whimbrel\\" . \\"run', id="quoted within quotes",
        ),
        pytest.param(
            POSTGRESQL, "py", 'op.execute("DROP SCHEMA IF EXISTS whimbrel CASCADE")',
            "m.py, line 1: SCHEMA IF EXISTS whimbrel", id="the schema itself",
        ),
        pytest.param(
            POSTGRESQL, "js", "await q.dropSchema('whimbrel')",
            "m.js, line 1: Schema('whimbrel'", id="the schema, by a function",
        ),
        pytest.param(
            POSTGRESQL, "js", "q.dropTable({tableName: 'note', schema: \"whimbrel\"})",
            'm.js, line 1: schema: "whimbrel"', id="the schema, in an object",
        ),
    ],
)  # fmt: skip
def test_refused(server: str, file: str, text: str, expected: str):
    assert line_told(server, file, text) == expected


@pytest.mark.parametrize(
    ("server", "file", "text"),
    [
        pytest.param(MARIADB, "py", "# not whimbrel_run\npass", id="a comment"),
        pytest.param(MARIADB, "py", '"""drop whimbrel_run\n\nRevises: 1"""\npass', id="the title"),
        pytest.param(MARIADB, "js", "/* whimbrel_run */ // whimbrel_meta\nq();", id="comments"),
        pytest.param(MARIADB, "py", "op.drop_table('whimbrel')", id="a table of that name"),
        pytest.param(MARIADB, "py", "op.drop_table('whimbrel_birds')", id="the author's table"),
        pytest.param(MARIADB, "py", "op.drop_table('my_whimbrel_run')", id="a longer name"),
        pytest.param(MARIADB, "py", "op.drop_table('whimbrel_runs')", id="longer at its end"),
        pytest.param(MARIADB, "py", "op.drop_table('run', schema='whimbrel')", id="no schema here"),
        pytest.param(POSTGRESQL, "py", "op.drop_table('whimbrel_run')", id="the author's, too"),
        pytest.param(POSTGRESQL, "py", "from whimbrel.birds import run", id="a module"),
        pytest.param(POSTGRESQL, "js", "const url = 'https://whimbrel.dev/run';", id="an address"),
        pytest.param(POSTGRESQL, "py", "op.drop_table('run', schema='whimbrels')", id="another"),
    ],
)  # fmt: skip
def test_not_refused(server: str, file: str, text: str):
    assert line_told(server, file, text) == ""


def test_a_string_that_looks_like_a_comment_hides_nothing():
    text = "url = 'http://x' # y\nq = \"#\"; op.drop_table('whimbrel_run')"
    assert line_told(MARIADB, "py", text) == "m.py, line 2: whimbrel_run"
    script = "const u = 'http://x', f = \"/*\"; q.dropTable('whimbrel_run');"
    assert line_told(MARIADB, "js", script) == "m.js, line 1: whimbrel_run"


def test_what_is_applied_is_refused_only_on_its_way_back():
    bad = revision("0002", "0001", text="op.drop_table('whimbrel_run')")
    told, server = project(revision("0003", "0002"), bad, revision("0001")), {"dialect": MARIADB}
    assert plan_up(ALEMBIC, spec(), "shop/schema", facts("0002", **server), told).steps
    with pytest.raises(RefusedError, match="line 1: whimbrel_run"):
        plan_up(ALEMBIC, spec(), "shop/schema", facts("0001", **server), told)
    assert plan_down(ALEMBIC, spec(), facts("0003", **server), told, "0002").steps
    with pytest.raises(RefusedError, match="line 1: whimbrel_run"):
        plan_down(ALEMBIC, spec(), facts("0003", **server), told, "0001")
    adopted = facts("0002", **server)
    assert plan_up(ALEMBIC, spec(baseline="0002"), "shop/schema", adopted, told).steps
