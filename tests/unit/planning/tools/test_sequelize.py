"""What is asked minus what the database shows, for a row of Sequelize's files."""

import json

import pytest

from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec, parse_spec
from whimbrel.model.steps import CatalogObject, RunTool, SalvageObjects
from whimbrel.planning.build import place_of, plan_down, plan_up
from whimbrel.planning.dialects.postgresql_catalog import select_rows
from whimbrel.planning.tools.foreign import Problem, command, relations
from whimbrel.planning.tools.output import MARK, parse_problem, parse_stays
from whimbrel.planning.tools.project import Project, Revision, WayBack
from whimbrel.planning.tools.sequelize import SEQUELIZE, shown

A, B, C, D = "1-a.js", "2-b.js", "3-c.cjs", "4-d.ts"
PEOPLE = CatalogObject("table", "public", "people")


def spec(to: str = "head", **further: object) -> Spec:
    return parse_spec(
        {
            "database": {"urlFrom": {"secretKeyRef": {"name": "shop-db", "key": "url"}}},
            "migrations": {"tool": "sequelize", "image": "shop:1", "to": to, **further},
        }
    )


def project(*names: str, ways: dict[str, WayBack] | None = None) -> Project:
    """Return a project of files, given in the order of their names."""
    below = dict(zip(names, [(), *((name,) for name in names)], strict=False))
    found = [
        Revision(name, below[name], (), name, f"sum of {name}", (ways or {}).get(name, "Written"))
        for name in reversed(names)
    ]
    return Project({each.id: each for each in found}, names[-1:])


SHOP = project(A, B, C, D)


def up(to: str, rows: tuple[str, ...], told: Project = SHOP, **further: object) -> RunnerPlan:
    facts = Facts("shop", 160000, revisions=rows, **further)
    return plan_up(spec(to), "shop/schema", facts, told)


def down(to: str | None, rows: tuple[str, ...], told: Project = SHOP, **further) -> RunnerPlan:
    facts = Facts("shop", 160000, revisions=rows, **further)
    return plan_down(spec(), "shop/schema", facts, told, to)


def steps(plan: RunnerPlan) -> list[tuple[str, tuple[str, ...]]]:
    found = [step for step in plan.steps if isinstance(step, RunTool)]
    return [(" ".join(step.argv[1:]), step.revisions) for step in found]


UNDO = "db:migrate:undo:all"


@pytest.mark.parametrize(
    ("to", "rows", "expected"),
    [
        pytest.param("head", (), [("db:migrate", (A, B, C, D))], id="fresh: everything"),
        pytest.param(B, (), [(f"db:migrate --to {B}", (A, B))], id="up to one"),
        pytest.param("head", (A, C), [("db:migrate", (A, B, C, D))], id="one was merged late"),
        pytest.param(A, (A, B, C), [(f"{UNDO} --to {B}", (A,))], id="back: the one above goes too"),
        pytest.param(B, (A, B, C), [(f"{UNDO} --to {C}", (A, B))], id="back by one"),
        pytest.param("base", (A, B), [(UNDO, ())], id="everything back"),
        pytest.param("head", (A, B, C, D), [], id="all is there"),
        pytest.param(B, (A, B), [], id="it is the newest"),
        pytest.param("base", (), [], id="base of an empty database"),
    ],
)
def test_what_is_asked_minus_what_the_database_shows(to, rows, expected):
    assert steps(up(to, rows)) == expected


def test_rows_of_files_that_are_gone_stay_and_newer_ones_are_a_newer_images():
    assert steps(up("head", ("0-gone.js", A))) == [("db:migrate", ("0-gone.js", A, B, C, D))]
    assert steps(down("base", ("0-gone.js", A))) == [(UNDO, ("0-gone.js",))]
    assert up("head", (A, B, C, D, "5-new.js")).ahead
    with pytest.raises(RefusedError) as refused:
        up(A, (A, B, "5-new.js"))
    assert refused.value.reason == "NeedsNewerImage"


@pytest.mark.parametrize(
    ("now", "before", "place", "expected"),
    [
        pytest.param((A, B, C), (A,), A, [(f"{UNDO} --to {B}", (A,))], id="a plain way back"),
        pytest.param((A, B), (), "base", [(UNDO, ())], id="to nothing"),
        pytest.param((A, B), (A, B), "head", [], id="nothing came since"),
        pytest.param(
            (A, B, C, D),
            (A, D),
            f"without {C}, {B}",
            [
                (f"db:migrate:undo --name {C}", (A, B, D)),
                (f"db:migrate:undo --name {B}", (A, D)),
            ],
            id="what was merged late goes alone",
        ),
    ],
)
def test_the_place_before_a_run(now, before, place, expected):
    facts = Facts("shop", 160000, revisions=now)
    assert place_of(spec(), facts, SHOP, before) == place
    assert steps(down(place, now)) == expected


@pytest.mark.parametrize("way", [WayBack.MISSING, WayBack.REFUSES])
def test_a_missing_way_back_is_said_before_and_refused_after(way: WayBack):
    told = project(A, B, ways={B: way})
    (note,) = [each for each in up("head", (A,), told).notes if each.startswith(B)]
    assert note.endswith("a rollback will be refused")
    with pytest.raises(RefusedError) as refused:
        down(A, (A, B), told)
    assert refused.value.reason == "NoDown"


def test_salvage_takes_what_goes_but_for_the_tools_own_table():
    books = CatalogObject("table", "public", "SequelizeMeta")
    added = {A: frozenset({PEOPLE, books})}
    plan = down("base", (A,), added=added, catalog=frozenset({PEOPLE, books}))
    (salvage,) = [step for step in plan.steps if isinstance(step, SalvageObjects)]
    assert salvage.objects == (PEOPLE,)


def test_the_books_stand_where_the_object_says():
    assert relations(SEQUELIZE, spec()) == {"SequelizeMeta", "SequelizeMeta_pkey"}
    named = spec(bookkeeping={"schema": "books", "table": "done"})
    assert relations(SEQUELIZE, named) == {"done", "done_pkey"}
    books = SEQUELIZE.books
    query = select_rows("public", "SequelizeMeta", books.columns, books.order)
    assert 'SELECT "name"::pg_catalog.text FROM "public"."SequelizeMeta"' in query


def test_a_baseline_is_recorded_at_once():
    wanted = spec(C, baseline=B)
    facts = Facts("shop", 160000, catalog=frozenset({PEOPLE}))
    adopt, run = plan_up(wanted, "shop/schema", facts, SHOP).steps
    assert adopt.argv == ("umzug", "logMigration", "--to", B)
    assert (adopt.revisions, run.revisions) == ((A, B), (A, B, C))


def test_the_words_for_node():
    chosen = {"environment": "live", "config": "a b.js", "migrationsPath": "m", "optionsPath": "rc"}
    wanted = spec(sequelize=chosen, bookkeeping={"schema": "books", "table": "done"})
    words = command(SEQUELIZE, wanted, ("sequelize-cli", "db:migrate"), "TEXT", interpreter="node")
    *before, options, variable, asked = words
    assert before == ["node", "--input-type=commonjs", "-e", "TEXT", "--"]
    assert (variable, asked) == ("DATABASE_URL", "db:migrate")
    assert json.loads(options) == {
        "args": ["--env=live", "--options-path=rc", "--config=a b.js", "--migrations-path=m"],
        "table": "done",
        "schema": "books",
    }


def line(**message: object) -> str:
    return MARK + json.dumps(message)


def test_what_stays_is_of_the_migration_that_was_at_work():
    told = [
        line(kind="whole"),
        line(kind="stays", migration=A, statement="CREATE TABLE a"),
        line(kind="whole"),
        "a line of the project",
        line(kind="stays", migration=B, statement="CREATE TABLE b"),
    ]
    assert parse_stays(told) == (f"{B}: CREATE TABLE b",)
    assert parse_stays([*told, line(kind="whole")]) == ()
    assert parse_stays(told[-1:]) is None


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            {"reason": "PackageMissing", "package": "sequelize-cli", "directory": "/app"},
            "sequelize-cli is not installed in /app: run npm ci there",
        ),
        (
            {"reason": "BookkeepingElsewhere", "schema": "public", "table": "done"},
            "set migrations.bookkeeping to {schema: public, table: done}",
        ),
        ({"reason": "BookkeepingOutside", "storage": "json"}, "set migrationStorage to sequelize"),
    ],
)
def test_a_problem_of_our_own_is_one_sentence(message: dict, sentence: str):
    found = parse_problem(SEQUELIZE, [line(kind="problem", **message)])
    assert found is not None
    assert sentence in found.text
    assert SEQUELIZE.sentences.refusal(found).reason == message["reason"]


@pytest.mark.parametrize(
    ("reason", "advice"),
    [("ERR_REQUIRE_ESM", "write CommonJS"), ("SyntaxError", "ts-node/register")],
)
def test_what_node_cannot_load_says_what_to_do(reason: str, advice: str):
    error = SEQUELIZE.sentences.refusal(Problem(reason, "no", "migrations/4-d.ts, line 1"))
    assert error.reason == "BrokenMigration"
    assert advice in error.message


def test_where_the_database_is():
    assert shown((A, C, B)) == C
    assert shown(()) == ""
