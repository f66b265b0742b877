"""What is asked minus what the database shows, for a Django project of several apps."""

import pytest

from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec, parse_spec
from whimbrel.model.steps import CatalogObject, RunTool, SalvageObjects
from whimbrel.planning.build import place_of, plan_down, plan_up
from whimbrel.planning.dialects.postgresql_catalog import select_rows
from whimbrel.planning.tools.django import DJANGO, shown
from whimbrel.planning.tools.foreign import Problem, command
from whimbrel.planning.tools.output import MARK, parse_problem
from whimbrel.planning.tools.project import Project, Revision, WayBack

ORDERS = CatalogObject("table", "public", "orders")
BOOKS = CatalogObject("table", "public", "django_migrations")
PEOPLE = CatalogObject("table", "public", "people")


def spec(to: str = "head", **further: object) -> Spec:
    return parse_spec(
        {
            "database": {"urlFrom": {"secretKeyRef": {"name": "shop-db", "key": "url"}}},
            "migrations": {"tool": "django", "image": "shop:1", "to": to, **further},
        }
    )


def migration(name: str, *below: str, **further: object) -> Revision:
    app = name.partition(":")[0]
    down = tuple(each for each in below if each.startswith(f"{app}:"))
    depends = tuple(each for each in below if each not in down)
    words = {"sha256": f"sum of {name}", "way_back": WayBack.WRITTEN, **further}
    return Revision(id=name, down=down, depends=depends, file=f"{name}.py", **words)


def project(*oldest_first: Revision) -> Project:
    """Return a project; the newest of each app are its heads."""
    covered = {below for each in oldest_first for below in each.down}
    heads = tuple(sorted(each.id for each in oldest_first if each.id not in covered))
    return Project({each.id: each for each in reversed(oldest_first)}, heads)


# auth is django.contrib's; b (orders) is built on a:1 (people), c on nothing.
SHOP = project(
    migration("auth:1"),
    migration("auth:2", "auth:1"),
    migration("a:1", "auth:1"),
    migration("b:1", "a:1"),
    migration("a:2", "a:1"),
    migration("a:3", "a:2", "b:1"),
    migration("c:1"),
)
ALL = ("auth:1", "auth:2", "a:1", "b:1", "a:2", "a:3", "c:1")
FORK = project(
    migration("a:r"),
    migration("a:x", "a:r"),
    migration("a:y", "a:r"),
    migration("a:m", "a:x", "a:y"),
)
SQUASHED = project(migration("a:s", replaces=("a:1", "a:2")), migration("a:3", "a:s"))


def up(to: str, rows: tuple[str, ...], told: Project = SHOP, **further: object) -> RunnerPlan:
    facts = Facts("shop", 160000, revisions=rows, **further)
    return plan_up(spec(to), "shop/schema", facts, told)


def down(to: str | None, rows: tuple[str, ...], told: Project = SHOP, **further) -> RunnerPlan:
    facts = Facts("shop", 160000, revisions=rows, **further)
    return plan_down(spec(), "shop/schema", facts, told, to)


def commands(plan: RunnerPlan) -> list[str]:
    steps = [step for step in plan.steps if isinstance(step, RunTool)]
    assert all(step.argv[:2] == ("manage.py", "migrate") for step in steps)
    return [" ".join(step.argv[2:]) for step in steps]


def ends(plan: RunnerPlan) -> set[str]:
    """Return what the last step must lead to."""
    return set([step for step in plan.steps if isinstance(step, RunTool)][-1].revisions)


@pytest.mark.parametrize(
    ("to", "rows", "expected", "after"),
    [
        pytest.param("head", (), [""], set(ALL), id="fresh: everything"),
        pytest.param("a:2", (), ["a 2"], {"auth:1", "a:1", "a:2"}, id="only what it needs"),
        pytest.param("c:1", ("a:1", "auth:1"), ["c 1"], {"a:1", "auth:1", "c:1"}, id="another app"),
        pytest.param("a:2", ALL, ["a 2"], {*ALL} - {"a:3"}, id="a lower one of an app"),
        pytest.param("a:1", ALL, ["a 1"], {*ALL} - {"a:3", "a:2"}, id="what is built on it goes"),
        pytest.param(
            "b:zero,c:zero",
            ALL,
            ["b zero", "c zero"],
            {*ALL} - {"b:1", "c:1", "a:3"},
            id="several apps",
        ),
        pytest.param("b:zero", ALL, ["b zero"], {*ALL} - {"b:1", "a:3"}, id="one app to nothing"),
        pytest.param("base", ALL, ["auth zero", "c zero"], set(), id="everything back"),
    ],
)
def test_what_is_asked_minus_what_the_database_shows(to, rows, expected, after):
    plan = up(to, rows)
    assert commands(plan) == expected
    assert ends(plan) == after


@pytest.mark.parametrize(
    ("to", "rows"),
    [
        pytest.param("head", ALL, id="all is there"),
        pytest.param("a:3", ALL, id="the newest of an app"),
        pytest.param("auth:1", ("auth:1", "c:1"), id="another app is there too"),
        pytest.param("c:zero", ("auth:1",), id="the app was not there"),
        pytest.param("base", (), id="base of an empty database"),
        pytest.param("head", (*ALL, "gone:1"), id="an app that is gone has left a row"),
        pytest.param("c:9", ("auth:1", "c:9"), id="there, though the image does not know it"),
    ],
)
def test_there_is_nothing_to_do(to, rows):
    plan = up(to, rows)
    assert (plan.steps, plan.ahead) == ((), False)


def test_ghosts_stay_in_the_table():
    plan = up("a:2", (*ALL, "gone:1"))
    assert ends(plan) == {*ALL, "gone:1"} - {"a:3"}


def test_an_older_image_with_head_changes_nothing():
    plan = up("head", (*ALL, "a:4"))
    assert (plan.ahead, plan.steps) == (True, ())


@pytest.mark.parametrize(
    ("to", "rows", "told", "reason", "words"),
    [
        pytest.param("a:9", (), SHOP, "UnknownRevision", "a:9", id="unknown migration"),
        pytest.param("a:2,c:1", (), SHOP, "UnknownRevision", "one migration", id="two ways up"),
        pytest.param("a", (), SHOP, "UnknownRevision", "app:name", id="an app alone"),
        pytest.param("x:zero", (), SHOP, "UnknownRevision", "x:zero", id="unknown app"),
        pytest.param("a:1", (*ALL, "a:4"), SHOP, "NeedsNewerImage", "a:4", id="older image"),
        pytest.param(
            "a:x", ("a:r", "a:x", "a:y", "a:m"), FORK, "SeveralBranches", "a:y", id="fork"
        ),
        pytest.param("head", ("a:1",), SQUASHED, "PartlySquashed", "a:2", id="half a squash"),
        pytest.param(
            "head", (), project(migration("a:1"), migration("a:2")), "SeveralHeads", "a:1, a:2",
            id="two newest of one app",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_one_sentence(to, rows, told, reason, words):
    with pytest.raises(RefusedError) as refused:
        up(to, rows, told)
    assert refused.value.reason == reason
    assert words in refused.value.message


def test_a_baseline_is_recorded_and_the_rest_is_run():
    facts = Facts("shop", 160000, catalog=frozenset({PEOPLE}))
    plan = plan_up(spec("a:2", baseline="a:1"), "shop/schema", facts, SHOP)
    assert commands(plan) == ["a 1 --fake", "a 2"]
    assert plan.steps[0].revisions == ("auth:1", "a:1")


# ---- before the last run ----


@pytest.mark.parametrize(
    ("before", "target", "expected"),
    [
        pytest.param(("auth:1", "a:1", "c:1"), "a:1,auth:1,b:zero", ["auth 1", "b zero", "a 1"]),
        pytest.param(("base",), "base", ["auth zero", "c zero"]),
        pytest.param(("auth:1", "auth:2", "a:1", "b:1", "a:2", "a:3"), "c:zero", ["c zero"]),
        pytest.param(("gone:1",), "base", ["auth zero", "c zero"]),
    ],
    ids=["several apps", "nothing", "an app that came", "only a ghost"],
)
def test_before_the_last_run_is_named_by_what_changes(before, target, expected):
    plan = down(None, ALL, last_run=before)
    assert (plan.target, commands(plan)) == (target, expected)
    # An attempt that comes after a kill goes to the same place by that name.
    assert down(target, ALL).steps == plan.steps
    named = place_of(spec(), Facts("shop", 16, revisions=ALL), SHOP, before)
    assert named == target


def test_nothing_came_since():
    with pytest.raises(RefusedError) as refused:
        down(None, ("a:1", "a:2", "a:s"), SQUASHED, last_run=("a:1", "a:2"))
    assert refused.value.reason == "NothingToRollBack"


def test_what_runs_added_is_salvaged_and_the_books_are_not():
    added = {"c:1": frozenset({ORDERS, BOOKS}), "a:1": frozenset({PEOPLE})}
    catalog = frozenset({ORDERS, BOOKS, PEOPLE})
    salvage, _ = down("c:zero", ALL, added=added, catalog=catalog).steps
    assert isinstance(salvage, SalvageObjects)
    assert salvage.objects == (ORDERS,)


def test_a_migration_without_a_way_back_is_said_before_and_refused_after():
    told = project(migration("a:1"), migration("a:2", "a:1", way_back=WayBack.REFUSES))
    assert any("a:2.py: an operation of it is not" in note for note in up("head", (), told).notes)
    with pytest.raises(RefusedError) as refused:
        down("a:1", ("a:1", "a:2"), told)
    assert refused.value.reason == "NoDown"


def test_a_way_that_was_rolled_back_is_not_tried_again():
    digest = up("head", ()).digest()
    with pytest.raises(HeldError) as held:
        up("head", (), rolled_back=frozenset({digest}))
    assert held.value.reason == "WasRolledBack"


# ---- squashed migrations ----


@pytest.mark.parametrize(
    ("rows", "expected", "after"),
    [
        pytest.param((), [""], {"a:1", "a:2", "a:s", "a:3"}, id="fresh: recorded with its parts"),
        pytest.param(("a:1", "a:2", "a:3"), [""], {"a:1", "a:2", "a:3", "a:s"}, id="only recorded"),
        pytest.param(("a:1", "a:2", "a:s", "a:3"), [], None, id="recorded already"),
    ],
)
def test_a_squash_is_recorded(rows, expected, after):
    plan = up("head", rows, SQUASHED)
    assert commands(plan) == expected
    assert after is None or ends(plan) == after


def test_a_squash_goes_with_its_parts():
    plan = up("a:zero", ("a:1", "a:2", "a:s", "a:3"), SQUASHED)
    assert (commands(plan), ends(plan)) == (["a zero"], set())


def test_what_was_squashed_once_is_not_newer_than_the_image():
    later = project(migration("a:s"), migration("a:3", "a:s"))
    plan = up("head", ("a:1", "a:2", "a:3", "a:s"), later)
    assert (plan.steps, plan.ahead) == ((), False)
    assert up("head", ("a:1", "a:2", "a:3", "a:s", "a:4"), later).ahead


# ---- words ----


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        pytest.param((), "", id="nothing"),
        pytest.param(("auth:1", "a:1", "a:2", "b:1"), "a:2, b:1", id="the newest of each app"),
        pytest.param(("auth:1", "auth:2"), "auth:2", id="only django.contrib's"),
    ],
)
def test_status_speaks_of_the_project_s_own_apps(rows, text):
    assert shown(rows) == text


def test_status_is_never_too_long():
    assert len(shown(tuple(f"app{number}:0001_initial" for number in range(99)))) == 255


def test_the_command_names_manage_settings_and_variable():
    wanted = spec(django={"settings": "shop.live"}, databaseURL={"env": "SHOP_URL"})
    words = command(
        DJANGO, wanted, ("manage.py", "migrate", "a", "1"), "text", interpreter="python"
    )
    assert words[3:] == ("manage.py", "shop.live", "SHOP_URL", "migrate", "a", "1")
    assert command(DJANGO, spec(), ("manage.py", "x"), "text", interpreter="python")[3:5] == (
        "manage.py",
        "",
    )


def test_rows_are_read_in_the_order_in_which_they_came():
    assert select_rows("public", "django_migrations", DJANGO.books.columns, DJANGO.books.order) == (
        'SELECT "app"::pg_catalog.text, "name"::pg_catalog.text '
        'FROM "public"."django_migrations" ORDER BY "id"'
    )


def test_a_reason_of_the_wrapper_s_own_has_its_sentence():
    told = MARK + '{"kind": "problem", "reason": "ManageMissing", "manage": "m.py", '
    problem = parse_problem(DJANGO, [told + '"directory": "/app"}'])
    assert problem == Problem(
        "ManageMissing",
        "m.py does not exist in /app: set migrations.django.manage and migrations.workingDir",
    )
    assert DJANGO.sentences.refusal(problem).reason == "ManageMissing"
