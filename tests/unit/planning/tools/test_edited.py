"""Applied migrations whose file is another one now, for any tool."""

import pytest

from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec, parse_spec
from whimbrel.planning.build import plan_up
from whimbrel.planning.tools.alembic import ALEMBIC
from whimbrel.planning.tools.edited import expected, kept
from whimbrel.planning.tools.project import Project, Revision, WayBack
from whimbrel.planning.tools.registry import project_of

KNOWN = {"a": "sum of a", "b": "sum of b"}


def spec(to: str = "head", **further: object) -> Spec:
    return parse_spec(
        {
            "database": {"urlFrom": {"secretKeyRef": {"name": "shop-db", "key": "url"}}},
            "migrations": {"tool": "alembic", "image": "shop:1", "to": to, **further},
        }
    )


def revision(name: str, *down: str, **further: object) -> Revision:
    words = {"depends": (), "sha256": f"sum of {name}", "way_back": WayBack.WRITTEN, **further}
    return Revision(id=name, down=down, file=f"{name}.py", **words)


def line(**of_b: object) -> Project:
    newest_first = (revision("c", "b"), revision("b", "a", **of_b), revision("a"))
    return Project({each.id: each for each in newest_first}, ("c",))


def planned(project: Project, to: str, *rows: str, known: dict[str, str] = KNOWN) -> RunnerPlan:
    reached = frozenset(rows)
    facts = Facts("shop", 160000, revisions=rows, digests=known, reached=reached)
    return plan_up(spec(to), "team/shop", facts, project)


def refused(project: Project, to: str, *rows: str) -> str:
    with pytest.raises(RefusedError) as error:
        planned(project, to, *rows)
    assert error.value.reason == "EditedFile"
    return error.value.message


EDITED = line(sha256="another")


@pytest.mark.parametrize(
    ("to", "rows"),
    [
        pytest.param("head", ("b",), id="on the way up"),
        pytest.param("c", ("c",), id="where nothing is to be done"),
        pytest.param("head", ("c",), id="at the head"),
    ],
)
def test_an_edited_applied_file_is_refused(to, rows):
    assert refused(EDITED, to, *rows)


@pytest.mark.parametrize(
    ("project", "to", "rows"),
    [
        pytest.param(line(), "head", ("b",), id="as it was applied"),
        pytest.param(EDITED, "head", ("a",), id="not applied yet: another plan"),
        pytest.param(EDITED, "a", ("b",), id="a way back may have been mended"),
        pytest.param(EDITED, "head", ("d",), id="an older image does not know"),
        pytest.param(line(sha256="2", library=True), "head", ("b",), id="of a package"),
        pytest.param(line(sha256="2", replaces=("x",)), "head", ("b",), id="a squash"),
    ],
)
def test_another_digest_alone_is_no_reason(project, to, rows):
    planned(project, to, *rows)


def test_it_names_the_file_and_both_ways_out():
    told = refused(EDITED, "head", "b")
    assert told.startswith("b.py was edited after its revision was applied: restore its text")
    assert "new migration; or retry" in told


def test_what_was_applied_without_us_is_adopted():
    assert planned(EDITED, "head", "b", known={}).to == "c"
    assert kept(EDITED, {"a", "b"}, {}) == {"a": "sum of a", "b": "another"}


def test_what_is_applied_is_kept_as_it_was_until_somebody_says_so():
    assert kept(EDITED, {"a", "b"}, KNOWN) == KNOWN
    assert kept(EDITED, {"a", "b"}, KNOWN, anew={"a", "b"}) == {**KNOWN, "b": "another"}


def test_what_is_taken_back_is_forgotten_and_what_others_have_stays():
    assert kept(line(), {"a"}, {**KNOWN, "theirs": "x"}) == {"a": "sum of a", "theirs": "x"}


def test_before_a_start_the_digests_of_what_it_applies_are_kept():
    """Also over those of a try that a killed runner left: that text was never applied."""
    known = {**KNOWN, "c": "of a try"}
    assert expected(ALEMBIC, line(), (("b",), ("c",)), known) == {**KNOWN, "c": "sum of c"}


def test_two_projects_in_one_database_are_told_apart_by_their_tables():
    named = {"bookkeeping": {"schema": "billing", "table": "alembic_version"}}
    keys = {project_of(each) for each in (spec(), spec(**named))}
    assert keys == {"default:alembic:.alembic_version", "default:alembic:billing.alembic_version"}
