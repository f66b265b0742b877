"""The window of a run on real servers: open after the migration, and one end, whoever is killed."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Postgres
from tests.processes import ROOT
from tests.runner_process import Attempt
from whimbrel.machine.names import work_digest
from whimbrel.model.plan import WITHOUT_TOOL
from whimbrel.model.spec import Spec

FILES = {
    "001_users.up.sql": "CREATE TABLE users (id int PRIMARY KEY, name varchar(20));",
    "001_users.down.sql": "DROP TABLE users;",
    "002_email.up.sql": "ALTER TABLE users ADD COLUMN email varchar(20);",
    "002_email.down.sql": "ALTER TABLE users DROP COLUMN email;",
}
FIRST = {name: text for name, text in FILES.items() if name.startswith("001")}
SIDES = {
    track: {"selector": {"track": track}, "workloadRef": {"name": f"shop-{track}"}}
    for track in ("blue", "green")
}
BLUE_GREEN = {"type": "BlueGreen", "blueGreen": {"activeService": "shop"} | SIDES}
RELEASE = (("release", True),)
Result = dict[str, Any]


@dataclass(frozen=True)
class Shop:
    """A database of one kind, with what a release of this object does to it."""

    attempt: Attempt

    def run(self, number: int, segment: str = "Migrate", attempt: int = 1, **more: Any) -> Result:
        """Carry out one attempt of run `number`, and return its answer."""
        order = (*RELEASE, ("number", number), *more.pop("order", ()))
        told = replace(
            self.attempt,
            run=f"run{number}",
            segment=segment,
            attempt=attempt,
            order=order,
            **more,
        )
        running = told.start()
        if running.tool is not None and segment in WITHOUT_TOOL:
            running.tool.kill()  # there is no container of the tool in such a Job
        return running.finish().result


@pytest.fixture(params=["postgresql", "mariadb"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    name = "database" if request.param == "postgresql" else "mariadb"
    server = request.getfixturevalue(name)
    spec = (("strategy", BLUE_GREEN),)
    return Shop(Attempt(tmp_path, server.url, tuple(FILES.items()), spec=spec))


def told(result: Result) -> tuple[str, str, str, bool]:
    return (
        result["outcome"],
        result["reason"],
        result.get("revision", ""),
        result.get("goesOn", False),
    )


def test_the_window_is_open_until_finish(shop: Shop):
    assert told(shop.run(1)) == ("Done", "Applied", "002", True)
    other = replace(shop, attempt=replace(shop.attempt, name="other", uid="uid-other"))
    waits = other.run(7)
    assert (waits["reason"], waits["holder"]["name"]) == ("Waiting", "shop")
    finished = shop.run(1, "Finish", 2)
    assert told(finished) == ("Done", "Completed", "002", False)
    # Its answer was lost: the next attempt says the same.
    again = shop.run(1, "Finish", 3)
    assert told(again) == ("Done", "Completed", "002", False)
    assert other.run(7, attempt=2)["outcome"] in ("NothingToDo", "Refused"), "nobody holds it"


def test_the_way_back_in_the_window_takes_back_exactly_this_run(shop: Shop):
    shop.run(1, files=tuple(FIRST.items()))
    shop.run(1, "Finish", 2, files=tuple(FIRST.items()))
    assert told(shop.run(2)) == ("Done", "Applied", "002", True)
    back = shop.run(2, "Rollback", 2)
    assert told(back) == ("RolledBack", "RolledBack", "001", False)
    assert told(shop.run(2, "Rollback", 3)) == ("RolledBack", "RolledBack", "001", False)


@pytest.mark.sampled("a release on each server")
def test_the_way_back_of_a_run_that_applied_nothing_takes_nothing_back(shop: Shop):
    shop.run(1)
    shop.run(1, "Finish", 2)
    other = (("strategy", BLUE_GREEN), ("limits", {"lockTimeout": "200ms"}))
    assert told(shop.run(2, spec=other)) == ("NothingToDo", "NoChange", "002", True)
    back = shop.run(2, "Rollback", 2, spec=other)
    assert told(back) == ("RolledBack", "RolledBack", "002", False)
    assert "had applied nothing" in back["message"]


@pytest.mark.sampled("a release on each server")
def test_a_look_says_whether_a_release_without_a_migration_goes_on(shop: Shop):
    """What was red before it is then found before anything is done."""
    shop.run(1)
    shop.run(1, "Finish", 2)
    assert told(shop.run(2, "Look")) == ("NothingToDo", "Looked", "002", False)
    other = (("strategy", BLUE_GREEN), ("limits", {"lockTimeout": "200ms"}))
    assert told(shop.run(3, "Look", spec=other)) == ("NothingToDo", "Looked", "002", True)
    assert told(shop.run(3, "Look", spec=other, order=(("release", False),)))[3] is False
    rolling = {"type": "Rolling", "rolling": {"workloadRefs": [{"name": "shop"}]}}
    assert told(shop.run(3, "Look", spec=(("strategy", rolling),)))[3] is False
    shop.run(3, spec=other)
    shop.run(3, "Rollback", 2, spec=other, order=(("back", work(shop, spec=other)),))
    assert told(shop.run(4, "Look", spec=other)) == ("Held", "WasRolledBack", "002", False)


@pytest.mark.sampled("a release on each server")
def test_abort_in_the_window_keeps_the_schema(shop: Shop):
    shop.run(1)
    assert told(shop.run(1, "Abort", 2)) == ("Done", "Aborted", "002", False)
    assert told(shop.run(1, "Abort", 3)) == ("Done", "Aborted", "002", False)


@pytest.mark.sampled("a release on each server")
def test_an_attempt_that_finds_the_work_of_the_one_before_goes_on(shop: Shop):
    shop.run(1)
    assert told(shop.run(1, attempt=2)) == ("NothingToDo", "NoChange", "002", True)
    assert told(shop.run(1, "Rollback", 3)) == ("RolledBack", "RolledBack", "", False)


@pytest.mark.sampled("a release on each server")
def test_a_rebuilt_cluster_switches_nothing_again(shop: Shop):
    shop.run(1)
    shop.run(1, "Finish", 2)
    rebuilt = replace(shop, attempt=replace(shop.attempt, uid="uid-new"))
    assert told(rebuilt.run(5)) == ("NothingToDo", "NoChange", "002", False)


@pytest.mark.sampled("a release on each server")
def test_a_release_that_went_back_is_not_called_complete(shop: Shop):
    """Its schema stayed: applied again, the traffic has to be switched again."""
    shop.run(1)
    shop.run(1, "Finish", 2)
    shop.run(2, "Abort")
    assert told(shop.run(3))[3] is False
    shop.run(4, "Rollback")
    assert told(shop.run(5, order=(("retry", "now"),)))[3] is True
    shop.run(5, "Finish", 2)
    assert told(shop.run(6, "Migrate"))[3] is False


@pytest.mark.sampled("a release on each server")
def test_a_way_back_after_the_end_of_the_run_is_no_success(shop: Shop):
    """The end of the release was recorded, and nobody heard of it."""
    shop.run(1)
    shop.run(1, "Finish", 2)
    late = shop.run(1, "Rollback", 3)
    assert (late["outcome"], late["reason"]) == ("Held", "RunClosed"), late
    assert told(shop.run(2, "Rollback")) == ("RolledBack", "RolledBack", "", False)


@pytest.mark.sampled("a release on each server")
def test_the_way_back_of_a_complete_release_that_applied_nothing_keeps_the_schema(shop: Shop):
    """Two releases with one schema: the old side of the second one needs it."""
    shop.run(1)
    shop.run(1, "Finish", 2)
    other = (("strategy", BLUE_GREEN), ("limits", {"lockTimeout": "200ms"}))
    shop.run(2, spec=other)
    shop.run(2, "Finish", 2, spec=other)
    back = shop.run(3, "Rollback", spec=other)
    assert told(back) == ("RolledBack", "RolledBack", "002", False)
    assert told(shop.run(3, "Rollback", 2, spec=other)) == told(back)
    assert told(shop.run(4, "Rollback", spec=other)) == ("RolledBack", "RolledBack", "", False)


@pytest.mark.sampled("a release on each server")
def test_a_lower_target_is_refused_while_a_new_version_may_run(shop: Shop):
    shop.run(1)
    shop.run(1, "Finish", 2)
    lower = (("strategy", BLUE_GREEN), ("migrations.to", "001"))
    refused = shop.run(2, spec=lower)
    assert told(refused) == ("Refused", "LowerTarget", "", False)
    assert "whimbrel rollback shop -n" in refused["message"]


@pytest.fixture
def alembic(database: Postgres, tmp_path: Path) -> Iterator[Shop]:
    project = Path(shutil.copytree(ROOT / "examples/tools/alembic", tmp_path / "app"))
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        spec = (("strategy", BLUE_GREEN),)
        yield Shop(Attempt(Path(folder), database.url, (), project, spec=spec))


def test_alembic_takes_back_exactly_this_run(alembic: Shop):
    to = ("migrations.to", "0002")
    spec = alembic.attempt.spec
    assert told(alembic.run(1, spec=(*spec, to))) == ("Done", "Applied", "0002", True)
    alembic.run(1, "Finish", 2, spec=(*spec, to))
    assert told(alembic.run(2)) == ("Done", "Applied", "0003", True)
    assert told(alembic.run(2, attempt=2)) == ("NothingToDo", "NoChange", "0003", True)
    assert told(alembic.run(2, "Rollback", 3)) == ("RolledBack", "RolledBack", "0002", False)


def test_alembic_of_a_run_that_applied_nothing_takes_nothing_back(alembic: Shop):
    alembic.run(1)
    alembic.run(1, "Finish", 2)
    other = (*alembic.attempt.spec, ("limits", {"lockTimeout": "200ms"}))
    assert told(alembic.run(2, spec=other)) == ("NothingToDo", "NoChange", "0003", True)
    assert told(alembic.run(2, "Rollback", 2, spec=other))[2] == "0003"


def rebuilt_after(shop: Shop, uid: str = "uid-new") -> Shop:
    """The cluster is built again from Git: the same object with another uid."""
    return replace(shop, attempt=replace(shop.attempt, uid=uid))


def work(shop: Shop, **changes: Any) -> str:
    """Return what the controller calls the work of a spec."""
    body: Result = replace(shop.attempt, **changes).body()
    return work_digest(Spec.model_validate(body["spec"]))


def test_a_release_that_went_back_with_its_schema_is_not_carried_out_again(shop: Shop):
    """Somebody else states the replicas of green: the traffic is back, the schema stays."""
    shop.run(1)
    back = (("back", work(shop)),)
    assert told(shop.run(1, "Abort", 2, order=back)) == ("Done", "Aborted", "002", False)
    again = rebuilt_after(shop)
    held = again.run(5)
    assert told(held) == ("Held", "WasRolledBack", "002", False)
    assert held["command"] == "whimbrel retry shop -n team"
    other = rebuilt_after(shop, "uid-other")
    changed = (("strategy", BLUE_GREEN), ("limits", {"lockTimeout": "200ms"}))
    assert told(other.run(6, spec=changed)) == ("NothingToDo", "NoChange", "002", True)
    other.run(6, "Abort", 2, spec=changed)
    assert told(again.run(7)) == ("Held", "WasRolledBack", "002", False), "it holds nothing"
    assert told(again.run(8, order=(("retry", "now"),))) == ("NothingToDo", "NoChange", "002", True)
    again.run(8, "Finish", 2)
    assert told(rebuilt_after(shop, "uid-3").run(9)) == ("NothingToDo", "NoChange", "002", False)


@pytest.mark.sampled("a release on each server")
def test_a_release_without_a_migration_that_went_back_is_not_carried_out_again(shop: Shop):
    shop.run(1)
    shop.run(1, "Finish", 2)
    other = (("strategy", BLUE_GREEN), ("limits", {"lockTimeout": "200ms"}))
    assert told(shop.run(2, spec=other)) == ("NothingToDo", "NoChange", "002", True)
    shop.run(2, "Rollback", 2, spec=other, order=(("back", work(shop, spec=other)),))
    again = rebuilt_after(shop)
    assert told(again.run(5, spec=other)) == ("Held", "WasRolledBack", "002", False)
    tried = again.run(6, spec=other, order=(("retry", "now"),))
    assert told(tried) == ("NothingToDo", "NoChange", "002", True)


@pytest.mark.sampled("a release on each server")
def test_a_deleted_release_says_nothing_of_another_try(shop: Shop):
    shop.run(1)
    shop.run(1, "Abort", 2)
    assert told(rebuilt_after(shop).run(5)) == ("NothingToDo", "NoChange", "002", True)
