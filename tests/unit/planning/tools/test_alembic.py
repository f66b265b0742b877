"""What is asked minus what the database shows, for an Alembic project."""

import json
from dataclasses import replace

import pytest

from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec, parse_spec
from whimbrel.model.steps import CatalogObject, Direction, RunTool, SalvageObjects
from whimbrel.planning.dialects.postgresql_catalog import select_rows
from whimbrel.planning.tools.alembic import ALEMBIC
from whimbrel.planning.tools.foreign import Problem, command, environment, scheme_for
from whimbrel.planning.tools.foreign_down import plan_down
from whimbrel.planning.tools.foreign_up import plan_up
from whimbrel.planning.tools.output import MARK, parse_problem, parse_project
from whimbrel.planning.tools.project import Project, Revision, WayBack

USERS = CatalogObject("table", "public", "users")
EMAIL = CatalogObject("column", "public", "users", "email")
ORDERS = CatalogObject("table", "public", "orders")
TOTAL = CatalogObject("column", "public", "orders", "total")
KEY = CatalogObject("constraint", "public", "users", "users_email_key")


def spec(to: str = "head", **further: object) -> Spec:
    return parse_spec(
        {
            "database": {"urlFrom": {"secretKeyRef": {"name": "shop-db", "key": "url"}}},
            "migrations": {"tool": "alembic", "image": "shop:1", "to": to, **further},
        }
    )


def revision(name: str, *down: str, **further: object) -> Revision:
    words = {"depends": (), "sha256": f"sum of {name}", "way_back": WayBack.WRITTEN, **further}
    return Revision(id=name, down=down, file=f"{name}.py", title="", **words)


def project(*newest_first: Revision, heads: tuple[str, ...] = ()) -> Project:
    return Project({each.id: each for each in newest_first}, heads or (newest_first[0].id,))


def facts(*revisions: str, **further: object) -> Facts:
    return Facts("shop", 160000, revisions=revisions, **further)


LINE = project(revision("0003", "0002"), revision("0002", "0001"), revision("0001"))
FORK = project(revision("a", "r"), revision("b", "r"), revision("r"), heads=("a", "b"))
MERGED = project(revision("m", "a", "b"), *FORK.revisions.values())


def up(wanted: Spec, seen: Facts, told: Project = LINE) -> RunnerPlan:
    return plan_up(ALEMBIC, wanted, "shop/schema", seen, told)


def tool_steps(plan: RunnerPlan) -> list[tuple]:
    return [
        (step.argv[1:], step.before, step.revisions)
        for step in plan.steps
        if isinstance(step, RunTool)
    ]


@pytest.mark.parametrize(
    ("to", "seen", "told", "expected"),
    [
        pytest.param("head", (), LINE, [(("upgrade", "0003"), (), ("0003",))], id="fresh: to head"),
        pytest.param("0002", (), LINE, [(("upgrade", "0002"), (), ("0002",))], id="fresh: part"),
        pytest.param(
            "head", ("0001",), LINE, [(("upgrade", "0003"), ("0001",), ("0003",))], id="the rest"
        ),
        pytest.param("head", ("0003",), LINE, [], id="nothing to do"),
        pytest.param("0002", ("0002",), LINE, [], id="already exactly there"),
        pytest.param(
            "0001",
            ("0003",),
            LINE,
            [(("downgrade", "0001"), ("0003",), ("0001",))],
            id="a lower target goes down",
        ),
        pytest.param(
            "base", ("0002",), LINE, [(("downgrade", "base"), ("0002",), ())], id="base: all back"
        ),
        pytest.param("base", (), LINE, [], id="base of an empty database"),
        pytest.param("heads", ("r",), FORK, [(("upgrade", "heads"), ("r",), ("a", "b"))], id="all"),
        pytest.param("b", ("a",), FORK, [(("upgrade", "b"), ("a",), ("a", "b"))], id="the other"),
        pytest.param("head", ("a",), MERGED, [(("upgrade", "m"), ("a",), ("m",))], id="a merge"),
        pytest.param("0009", ("0009",), LINE, [], id="there, though the image does not know it"),
    ],
)
def test_what_is_asked_minus_what_the_database_shows(to, seen, told, expected):
    assert tool_steps(up(spec(to), facts(*seen), told)) == expected


def test_an_older_image_with_head_changes_nothing():
    known = replace(facts("0004"), reached=frozenset({"0003", "0004"}))
    plan = up(spec("head"), known)
    assert (plan.ahead, plan.steps, plan.to) == (True, (), "0004")


def test_a_table_that_nobody_knows_is_another_projects():
    """Calling that "ahead" would be a Ready=True of a project that is never migrated."""
    with pytest.raises(RefusedError) as refused:
        up(spec("head"), facts("theirs"))
    assert refused.value.reason == "BookkeepingForeign"
    assert "theirs" in refused.value.message


@pytest.mark.parametrize(
    ("wanted", "seen", "told", "reason", "words"),
    [
        pytest.param(spec("0009"), (), LINE, "UnknownRevision", "0009", id="unknown revision"),
        pytest.param(spec(), (), FORK, "SeveralHeads", "(a, b)", id="several heads"),
        pytest.param(spec("0002"), ("0004",), LINE, "NeedsNewerImage", "0004", id="older image"),
        pytest.param(spec("a"), ("m",), MERGED, "SeveralBranches", "a, b", id="half of a merge"),
        pytest.param(
            spec(baseline="0002"), (), LINE, "BaselineDoesNotFit", "no table", id="empty baseline"
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(wanted, seen, told, reason, words):
    with pytest.raises(RefusedError) as refused:
        up(wanted, facts(*seen), told)
    assert refused.value.reason == reason
    assert words in refused.value.message


def test_a_baseline_is_recorded_and_the_rest_is_run():
    seen = facts(catalog=frozenset({USERS}))
    plan = up(spec(baseline="0002"), seen)
    assert tool_steps(plan) == [
        (("stamp", "0002"), (), ("0002",)),
        (("upgrade", "0003"), ("0002",), ("0003",)),
    ]
    assert tool_steps(up(spec("0002", baseline="0002"), seen)) == tool_steps(plan)[:1]
    assert up(spec("0002", baseline="0002"), facts("0002", catalog=frozenset({USERS}))).steps == ()
    with pytest.raises(RefusedError) as refused:
        up(spec("0001", baseline="0002"), seen)
    assert refused.value.reason == "BaselineAfterTarget"


def test_what_runs_added_is_salvaged_before_the_way_back():
    seen = facts(
        "0003",
        catalog=frozenset({USERS, EMAIL, ORDERS, TOTAL, KEY}),
        added={
            "0001": frozenset({USERS}),
            "0003": frozenset({EMAIL, ORDERS, TOTAL, KEY}),
            "": frozenset({CatalogObject("table", "public", "dropped_meanwhile")}),
        },
    )
    salvage, run = plan_down(ALEMBIC, spec(), seen, LINE, "0001").steps
    assert isinstance(salvage, SalvageObjects)
    assert salvage.objects == (EMAIL, ORDERS)
    assert isinstance(run, RunTool)
    assert run.direction is Direction.DOWN


def test_a_way_back_says_what_salvage_does_not_hold():
    seen = facts(
        "0003",
        catalog=frozenset({USERS, EMAIL}),
        added={"0003": frozenset({EMAIL, ORDERS, TOTAL})},
        gone={"0001": frozenset({KEY}), "0003": frozenset({ORDERS, TOTAL})},
    )
    notes = plan_down(ALEMBIC, spec(), seen, LINE, "0001").notes
    assert f"{ORDERS}, which an earlier run added, is there no more: nothing of it can be" in str(
        notes
    )
    assert str(TOTAL) not in str(notes)
    assert "committed before Alembic begins" in notes[-1]
    assert "salvage" not in str(plan_down(ALEMBIC, spec(), facts("0003"), LINE, "0001").notes[:-1])


def test_a_run_that_added_more_than_goes_now_is_salvaged_whole():
    seen = facts("0002", catalog=frozenset({EMAIL}), added={"0003": frozenset({EMAIL})})
    salvage, _ = plan_down(ALEMBIC, spec(), seen, LINE, "0001").steps
    assert salvage.objects == (EMAIL,)


def test_several_branches_go_back_one_after_the_other():
    told = project(
        revision("a2", "a1"),
        revision("b2", "b1"),
        revision("a1"),
        revision("b1"),
        heads=("a2", "b2"),
    )
    assert tool_steps(plan_down(ALEMBIC, spec(), facts("a2", "b2"), told, "a1, b1")) == [
        (("downgrade", "a1"), ("a2", "b2"), ("a1", "b2")),
        (("downgrade", "b1"), ("a1", "b2"), ("a1", "b1")),
    ]


def test_nothing_stays_below_the_word_for_nothing():
    assert tool_steps(plan_down(ALEMBIC, spec(), facts("0001"), LINE, "")) == [
        (("downgrade", "base"), ("0001",), ())
    ]


@pytest.mark.parametrize("way_back", [WayBack.MISSING, WayBack.REFUSES])
def test_a_missing_way_back_is_said_before_and_refused_after(way_back: WayBack):
    told = project(revision("0002", "0001", way_back=way_back), revision("0001"))
    assert any("0002.py: it" in note for note in up(spec(), facts(), told).notes)
    with pytest.raises(RefusedError) as refused:
        plan_down(ALEMBIC, spec(), facts("0002"), told, "0001")
    assert refused.value.reason == "NoDown"
    assert "0002.py" in refused.value.message


def test_an_empty_way_back_runs_and_is_said():
    told = project(revision("0002", "0001", way_back=WayBack.EMPTY), revision("0001"))
    plan = plan_down(ALEMBIC, spec(), facts("0002"), told, "0001")
    assert tool_steps(plan) == [(("downgrade", "0001"), ("0002",), ("0001",))]
    assert "0002.py: its downgrade is empty: a rollback leaves what it did" in plan.notes


def test_the_plan_says_that_the_way_back_is_unknown():
    for plan in (up(spec(), facts()), plan_down(ALEMBIC, spec(), facts("0003"), LINE, "0001")):
        assert any("cannot be known" in note for note in plan.notes)


def test_another_content_of_a_file_is_another_plan():
    edited = project(
        revision("0003", "0002", sha256="edited"), revision("0002", "0001"), revision("0001")
    )
    assert up(spec(), facts()).digest() != up(spec(), facts(), edited).digest()
    assert up(spec(), facts()).digest() == up(spec(), facts()).digest()
    # Files that are applied already do not matter.
    assert (
        up(spec("0002"), facts("0001")).digest() == up(spec("0002"), facts("0001"), edited).digest()
    )


def test_a_way_that_was_rolled_back_is_not_tried_again():
    digest = up(spec(), facts("0001")).digest()
    with pytest.raises(HeldError) as refused:
        up(spec(), facts("0001", rolled_back=frozenset({digest})))
    assert refused.value.reason == "WasRolledBack"
    assert refused.value.command == "whimbrel retry schema -n shop"


def test_the_environment_keeps_what_the_user_set():
    env = [{"name": "PGOPTIONS", "value": "-c a=b"}, {"name": "APP", "value": "x"}]
    wanted = spec(env=env, databaseURL={"env": "SHOP_URL"})
    assert environment(wanted, "url", "whimbrel:1:shop/schema", "-c lock_timeout=1s") == {
        "APP": "x",
        "SHOP_URL": "url",
        "PGAPPNAME": "whimbrel:1:shop/schema",
        "PGOPTIONS": "-c a=b -c lock_timeout=1s",
        "PYTHONUNBUFFERED": "1",
        "WHIMBREL_LEDGER": "whimbrel",
    }


def test_the_command_names_ini_and_variable():
    wanted = spec(alembic={"config": "db/alembic.ini"}, databaseURL={"env": "SHOP_URL"})
    words = command(ALEMBIC, wanted, ("alembic", "upgrade", "0003"), "text", interpreter="python3")
    assert words == ("python3", "-c", "text", "db/alembic.ini", "SHOP_URL", "upgrade", "0003")


def test_names_are_quoted():
    assert select_rows('a"b', "C d", ALEMBIC.books.columns, ALEMBIC.books.order) == (
        'SELECT "version_num"::pg_catalog.text FROM "a""b"."C d" ORDER BY 1'
    )


def line(kind: str, **words: object) -> str:
    return MARK + json.dumps({"kind": kind, **words})


def test_the_wrapper_s_words_become_a_project():
    words = {"depends": ["x"], "file": "0002_a.py", "sha256": "s", "title": "t"}
    told = [
        "INFO something of env.py",
        line("revision", id="0002", down=["0001"], downgrade="Empty", **words),
        line("revision", id="0001", down=[], downgrade="Written", **words)[:-4],
        line("inspected", alembic="1.20", heads=["0002"]),
    ]
    assert parse_project(ALEMBIC, told) == Project(
        {"0002": Revision("0002", ("0001",), ("x",), "0002_a.py", "s", WayBack.EMPTY, "t")},
        ("0002",),
    )


def test_a_wrapper_that_fell_silent_is_no_empty_project():
    with pytest.raises(RefusedError) as refused:
        parse_project(ALEMBIC, ["Killed"])
    assert refused.value.reason == "ProjectUnreadable"


def test_a_problem_has_place_state_and_statement():
    words = {"reason": "ProgrammingError", "text": "no such table", "sqlstate": "42P01"}
    told = line("problem", **words, statement="SELECT 1", file="versions/a.py", line=7)
    problem = parse_problem(ALEMBIC, [told])
    assert problem == Problem(
        "ProgrammingError", "no such table", "versions/a.py, line 7", "42P01", "SELECT 1"
    )
    sentence = "versions/a.py, line 7: no such table (SQLSTATE 42P01) [SELECT 1]"
    assert problem.sentence() == sentence
    assert parse_problem(ALEMBIC, ["nothing of ours"]) is None


@pytest.mark.parametrize(
    ("asked", "server", "scheme"),
    [
        pytest.param("postgresql+psycopg", "postgresql", "postgresql+psycopg", id="as asked"),
        pytest.param("mysql+mysqldb", "mariadb", "mysql+mysqldb", id="as asked on MariaDB"),
        pytest.param("postgresql", "mariadb", "mysql+pymysql", id="one manifest, two servers"),
    ],
)
def test_the_scheme_fits_the_server(asked: str, server: str, scheme: str):
    assert scheme_for(ALEMBIC, spec(databaseURL={"scheme": asked}), server) == scheme


def test_a_tool_that_is_not_carried_on_a_server_says_so():
    with pytest.raises(RefusedError, match="Alembic is carried on PostgreSQL only") as refused:
        scheme_for(replace(ALEMBIC, schemes={}), spec(), "mariadb")
    assert refused.value.reason == "ToolNotOnServer"


def test_a_scheme_of_mariadb_on_postgresql_is_refused():
    with pytest.raises(RefusedError, match="is mysql, and PostgreSQL answers: leave it out"):
        scheme_for(ALEMBIC, spec(databaseURL={"scheme": "mysql"}), "postgresql")
