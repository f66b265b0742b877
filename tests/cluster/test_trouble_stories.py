"""Servers restart, containers are killed, Secrets change, others take long: one truth remains."""

from pathlib import Path

import pytest

from tests.cluster.conftest import PASSWORD, make_database
from tests.cluster.kube import PSQL, Namespace, kubectl, migration, wait_until
from tests.cluster.one_node import kill_container, provide_image
from tests.cluster.test_sql_stories import COUNT, COUNTED, SLOW, USERS, applied, pods, sleeping

pytestmark = pytest.mark.cluster


@pytest.mark.sampled("a story of SQL")
def test_files_from_a_configmap_that_comes_late_and_grows(shop: Namespace):
    body = migration(migrations={"tool": "sql", "configMapRef": {"name": "files"}})
    shop.apply(body)
    wait_until(
        "the missing ConfigMap is named",
        lambda: "ConfigMap 'files'" in shop.condition("shop", "Ready").get("message", ""),
    )
    shop.apply(config_map(USERS))
    shop.at_revision("shop", "002")
    shop.apply(config_map(USERS | {"003_more.up.sql": COUNT}))
    shop.kubectl("annotate", "dbm/shop", "whimbrel.dev/retry-requested-at=now")
    shop.at_revision("shop", "003")
    assert shop.sql("SELECT n FROM counted") == "2"


@pytest.mark.sampled("a story of SQL")
def test_files_from_a_directory_of_an_image_that_holds_nothing_else(
    shop: Namespace, tmp_path: Path
):
    (tmp_path / "files").mkdir()
    for name, text in USERS.items():
        (tmp_path / "files" / name).write_text(text)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY files /migrations\n")
    image = provide_image(tmp_path, f"only-files:{shop.name}")
    shop.apply(
        migration(migrations={"tool": "sql", "image": image, "sql": {"path": "/migrations"}})
    )
    shop.at_revision("shop", "002")
    assert shop.sql("SELECT n FROM counted") == "1"


def config_map(files: dict[str, str]) -> dict:
    """Return the ConfigMap of a project's files."""
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"}}
    return head | {"data": files}


@pytest.mark.sampled("a killed Pod")
def test_container_killed_in_mid_statement_runs_once(shop: Namespace, one_node: None):
    shop.apply(migration(files=USERS | SLOW))
    wait_until("the slow statement runs", lambda: sleeping(shop))
    (pod,) = pods(shop)
    kill_container(shop, pod.removeprefix("pod/"), "runner")
    shop.at_revision("shop", "003")
    assert shop.sql("SELECT n FROM counted") == "2"


@pytest.mark.alone
def test_database_restarted_in_mid_statement_runs_once(shop: Namespace):
    shop.apply(migration(files=USERS | SLOW))
    wait_until("the slow statement runs", lambda: sleeping(shop))
    # The volume outlives the container, not the Pod: the data stay.
    kubectl(*PSQL[:8], "sh", "-c", "pg_ctl -D $PGDATA -m immediate stop", fine=False)
    shop.at_revision("shop", "003")
    assert shop.sql("SELECT n FROM counted") == "2"
    assert applied(shop) == "001,002,003"


@pytest.mark.sampled("a story of SQL")
def test_secret_that_points_to_another_database_is_a_question_to_a_person(shop: Namespace):
    shop.apply(migration(files=USERS))
    shop.wait("shop")
    other = Namespace(shop.name, f"{shop.name}other", PSQL)
    make_database(other.database)
    other.secret(password=PASSWORD)
    more = USERS | {"003_more.up.sql": COUNT}
    shop.apply(migration(files=more))
    wait_until("Held", lambda: shop.status("shop").get("phase") == "Held", seconds=90)
    ready = shop.condition("shop", "Ready")
    assert ready["reason"] == "LedgerMissing"
    assert "--as LedgerAccepted" in ready["message"]
    assert other.sql("SELECT to_regclass('counted') IS NULL") == "t"
    assert other.sql("SELECT to_regnamespace('whimbrel') IS NULL") == "t"

    shop.secret(password=PASSWORD)
    shop.kubectl("annotate", "dbm/shop", "whimbrel.dev/retry-requested-at=now")
    shop.at_revision("shop", "003")
    assert shop.sql("SELECT n FROM counted") == "2"


@pytest.mark.sampled("a story of SQL")
def test_long_migrations_of_one_team_do_not_delay_a_small_one_of_another(shop: Namespace):
    teams = [Namespace(shop.name, f"{shop.name}long{number}", PSQL) for number in range(4)]
    for team in teams:
        make_database(team.database)
        team.secret(team.database, password=PASSWORD)
        team.apply(long_one(team.database))
    for team in teams:
        wait_until("a long one runs", lambda team=team: sleeping(team))
    shop.apply(migration(files={"001_counted.up.sql": COUNTED}))
    shop.wait("shop", seconds=45)
    assert all(sleeping(team) for team in teams)


def long_one(name: str) -> dict:
    """Return a migration of a minute on the database that the Secret of this name points to."""
    body = migration(name, files={"001_long.up.sql": "SELECT pg_sleep(60);"})
    body["spec"]["database"]["urlFrom"]["secretKeyRef"]["name"] = name
    return body
