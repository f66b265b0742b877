"""What is asked minus what the database shows, for migrations that are ordered by time stamps."""

import pytest

from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec, parse_spec
from whimbrel.model.steps import CatalogObject, RunTool, SalvageObjects
from whimbrel.planning.build import place_of, plan_down, plan_up
from whimbrel.planning.dialects.postgresql_catalog import select_rows
from whimbrel.planning.tools.foreign import Problem, command
from whimbrel.planning.tools.output import MARK, parse_problem
from whimbrel.planning.tools.project import Project, Revision, WayBack
from whimbrel.planning.tools.typeorm import TYPEORM, shown

A, B, C, D = (f"{letter}{1767225600000 + number}" for number, letter in enumerate("ABCD"))
GONE = "Gone1767225600009"
PEOPLE = CatalogObject("table", "public", "people")
BOOKS = CatalogObject("table", "public", "migrations")


def spec(to: str = "head", **further: object) -> Spec:
    return parse_spec(
        {
            "database": {"urlFrom": {"secretKeyRef": {"name": "shop-db", "key": "url"}}},
            "migrations": {"tool": "typeorm", "image": "shop:1", "to": to, **further},
        }
    )


def project(*names: str, **ways: WayBack) -> Project:
    """Return a project of these migrations, oldest first."""
    below = dict(zip(names[1:], names, strict=False))
    revisions = {
        name: Revision(
            id=name,
            down=(below[name],) if name in below else (),
            depends=(),
            file=f"dist/{name}.js",
            sha256=f"sum of {name}",
            way_back=ways.get(name[0], WayBack.WRITTEN),
        )
        for name in reversed(names)
    }
    return Project(revisions, names[-1:])


SHOP = project(A, B, C, D)


def up(to: str, rows: tuple[str, ...], told: Project = SHOP, **further: object) -> RunnerPlan:
    facts = Facts("shop", 160000, revisions=rows, **further)
    return plan_up(spec(to), "shop/schema", facts, told)


def down(to: str | None, rows: tuple[str, ...], told: Project = SHOP, **further) -> RunnerPlan:
    facts = Facts("shop", 160000, revisions=rows, **further)
    return plan_down(spec(), "shop/schema", facts, told, to)


def starts(plan: RunnerPlan) -> list[tuple[str, tuple[str, ...]]]:
    """Return each command without its first word, and the rows after it."""
    steps = [step for step in plan.steps if isinstance(step, RunTool)]
    return [(" ".join(step.argv[1:]), step.revisions) for step in steps]


@pytest.mark.parametrize(
    ("to", "rows", "words", "after"),
    [
        pytest.param("head", (), "run", (A, B, C, D), id="fresh: everything"),
        pytest.param(B, (), f"run --to {B}", (A, B), id="fresh: up to one"),
        pytest.param("head", (A, C), "run", (A, C, B, D), id="what was merged late comes last"),
        pytest.param(C, (A, C), f"run --to {C}", (A, C, B), id="late, below the newest"),
        pytest.param(B, (A, B, C, D), f"revert --to {B}", (A, B), id="lower: back"),
        pytest.param(C, (A, C, B, D), f"revert --to {B}", (A, C, B), id="until the last row stays"),
        pytest.param(A, (A, C, B, D), f"revert --to {A}", (A,), id="below both"),
        pytest.param("base", (A, C, B), "revert --to base", (), id="everything back"),
        pytest.param("base", (GONE, A), f"revert --to {GONE}", (GONE,), id="but what is not its"),
    ],
)
def test_what_is_asked_minus_what_the_database_shows(to, rows, words, after):
    assert starts(up(to, rows)) == [(f"migration:{words}", after)]


@pytest.mark.parametrize(
    ("to", "rows", "ahead"),
    [
        pytest.param("head", (A, B, C, D), False, id="all is there"),
        pytest.param("head", (A, C, B, D), False, id="all is there, in another order"),
        pytest.param(C, (A, C, B), False, id="up to one, in another order"),
        pytest.param("base", (), False, id="base of an empty database"),
        pytest.param("head", (A, GONE, B, C, D), False, id="a row of a file that is gone"),
        pytest.param("head", (A, B, C, GONE), True, id="a newer image was there"),
        pytest.param(GONE, (A, B, GONE), False, id="there, though the image does not know it"),
    ],
)
def test_nothing_to_do(to, rows, ahead):
    plan = up(to, rows)
    assert (plan.steps, plan.ahead) == ((), ahead)


@pytest.mark.parametrize(
    ("to", "rows", "reason", "words"),
    [
        pytest.param("X1", (), "UnknownRevision", "a whole migration name", id="no such name"),
        pytest.param("1767225600000", (), "UnknownRevision", D, id="a time stamp alone"),
        pytest.param(A, (A, GONE), "NeedsNewerImage", GONE, id="what is above is not known"),
        pytest.param(B, (A, C, B), "AppliedLater", f"leaves {B}", id="it came after what goes"),
        pytest.param(B, (A, C, B), "AppliedLater", f"name {A},", id="and where one can go"),
        pytest.param("base", (A, GONE, B), "NeedsNewerImage", GONE, id="a gone one is between"),
    ],
)
def test_what_cannot_be_is_refused(to, rows, reason, words):
    with pytest.raises(RefusedError) as refused:
        up(to, rows)
    assert refused.value.reason == reason
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("rows", "now", "name"),
    [
        pytest.param((), (A, B), "base", id="nothing was there"),
        pytest.param((A, B), (A, B, C), B, id="the newest then"),
        pytest.param((A, C), (A, C, B, D), f"{C},without:{B}", id="something older came since"),
        pytest.param((A, C, B), (A, C, B, D), C, id="it had come before"),
        pytest.param((A, B), (A, B), B, id="nothing came since"),
        pytest.param((GONE,), (GONE, A), "base", id="nothing of this project"),
    ],
)
def test_the_way_back_of_a_run_leads_to_the_rows_before_it(rows, now, name):
    facts = Facts("shop", 160000, revisions=now)
    assert place_of(spec(), facts, SHOP, rows) == name
    ends = [after for _, after in starts(down(name, now))]
    assert ends == ([] if rows == now else [rows])


def test_what_was_added_is_salvaged_and_the_books_are_not():
    added = {B: frozenset({PEOPLE, BOOKS})}
    salvage, _ = down(A, (A, B), added=added, catalog=frozenset({PEOPLE, BOOKS})).steps
    assert isinstance(salvage, SalvageObjects)
    assert salvage.objects == (PEOPLE,)


@pytest.mark.parametrize("way", [WayBack.REFUSES, WayBack.MISSING])
def test_a_migration_without_a_way_back_is_said_before_and_refused_after(way):
    told = project(A, B, B=way)
    assert any(f"dist/{B}.js: it" in note for note in up("head", (), told).notes)
    with pytest.raises(RefusedError) as refused:
        down(A, (A, B), told)
    assert refused.value.reason == "NoDown"


def test_a_way_that_was_rolled_back_is_not_tried_again():
    with pytest.raises(HeldError) as held:
        up("head", (), rolled_back=frozenset({up("head", ()).digest()}))
    assert held.value.reason == "WasRolledBack"


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        pytest.param((), "", id="nothing"),
        pytest.param((A, C, B), C, id="the newest time stamp"),
        pytest.param((A, "Imported"), A, id="a row of somebody else's"),
        pytest.param(("N" * 300 + A,), "N" * 255, id="never too long"),
    ],
)
def test_status_names_the_newest(rows, text):
    assert shown(rows) == text


def test_the_command_names_data_source_books_and_variable():
    wanted = spec(
        typeorm={"dataSource": "build/source.js"},
        bookkeeping={"schema": "mine", "table": "done"},
        databaseURL={"env": "SHOP_URL"},
    )
    argv = ("typeorm", "migration:run", "--to", A)
    words = command(TYPEORM, wanted, argv, "text", interpreter="node")
    given = words[words.index("--") + 1 :]
    assert given == ("build/source.js", "mine", "done", "SHOP_URL", "migration:run", "--to", A)
    plain = command(TYPEORM, spec(), ("typeorm", "inspect"), "text", interpreter="node")
    assert plain[-5:] == ("dist/data-source.js", "", "migrations", "DATABASE_URL", "inspect")


def test_rows_are_read_in_the_order_in_which_they_came():
    books = TYPEORM.books
    assert select_rows("public", "migrations", books.columns, books.order) == (
        'SELECT "name"::pg_catalog.text FROM "public"."migrations" ORDER BY "id"'
    )


def test_a_reason_of_the_wrapper_s_own_has_its_sentence():
    told = MARK + '{"kind": "problem", "reason": "BookkeepingElsewhere", "place": "mine.done"}'
    problem = parse_problem(TYPEORM, [told])
    assert problem == Problem(
        "BookkeepingElsewhere",
        "the DataSource keeps its books in mine.done: set schema and table of "
        "migrations.bookkeeping to that",
    )
    assert TYPEORM.sentences.refusal(problem).reason == "BookkeepingElsewhere"
