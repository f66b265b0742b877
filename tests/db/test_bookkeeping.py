"""Alembic's own table, wherever env.py put it, on a real server."""

import pytest

from tests.postgres import Postgres, create_database
from whimbrel.model.errors import RefusedError
from whimbrel.model.spec import Spec, parse_spec
from whimbrel.runner.bookkeeping import read_revisions
from whimbrel.runner.sessions import connect
from whimbrel.runner.urls import parse_target

ODD = 'Odd "schema" %s $1'


def spec(**bookkeeping: str) -> Spec:
    migrations = {"tool": "alembic", "image": "shop:1"}
    if bookkeeping:
        migrations["bookkeeping"] = bookkeeping
    return parse_spec(
        {
            "database": {"urlFrom": {"secretKeyRef": {"name": "shop-db", "key": "url"}}},
            "migrations": migrations,
        }
    )


def read(database: Postgres, wanted: Spec) -> tuple[str, ...]:
    with connect(parse_target(database.url), "test") as session:
        return read_revisions(session, wanted)


def create(database: Postgres, schema: str, table: str, *revisions: str) -> None:
    quoted = [part.replace('"', '""').replace("%", "%%") for part in (schema, table)]
    name = '"{}"."{}"'.format(*quoted)
    database.run('CREATE SCHEMA IF NOT EXISTS "{}"'.format(quoted[0].replace("%%", "%")))
    with database.connect() as session:
        plain = name.replace("%%", "%")
        session.execute(f"CREATE TABLE {plain} (version_num varchar(32) PRIMARY KEY)")
        for revision in revisions:
            session.execute(f"INSERT INTO {name} VALUES (%s)", [revision])


def test_no_table_means_nothing_is_applied(database: Postgres):
    assert read(database, spec()) == ()


def test_a_table_of_that_name_and_another_shape_is_not_it(database: Postgres):
    database.run("CREATE TABLE alembic_version (something int)")
    assert read(database, spec()) == ()


@pytest.mark.parametrize("schema", ["public", "shop", ODD])
def test_it_is_found_in_any_schema(any_database: Postgres, schema: str):
    create(any_database, schema, "alembic_version", "0002")
    assert read(any_database, spec()) == ("0002",)


def test_every_branch_has_a_row(database: Postgres):
    create(database, "public", "alembic_version", "b2", "a2")
    assert read(database, spec()) == ("a2", "b2")


def test_two_tables_are_refused_by_name_unless_one_is_chosen(database: Postgres):
    create(database, "public", "alembic_version", "0001")
    create(database, "billing", "alembic_version", "0007")
    with pytest.raises(RefusedError) as refused:
        read(database, spec())
    assert refused.value.reason == "BookkeepingAmbiguous"
    assert "billing.alembic_version and public.alembic_version" in refused.value.message
    assert read(database, spec(schema="billing", table="alembic_version")) == ("0007",)


def test_another_name_is_quoted(database: Postgres):
    create(database, ODD, 'my "versions" %', "0003")
    assert read(database, spec(schema=ODD, table='my "versions" %')) == ("0003",)
    assert read(database, spec(table="elsewhere")) == ()


def test_a_table_that_may_not_be_read_is_said_in_one_sentence(database: Postgres, postgres_server):
    create(database, "public", "alembic_version", "0001")
    other = create_database(postgres_server(16), f"{database.dbname}_other")
    stranger = Postgres(
        database.version, database.home, database.port, other.user, other.password, database.dbname
    )
    with pytest.raises(RefusedError) as refused:
        read(stranger, spec())
    assert refused.value.reason == "BookkeepingNotReadable"
    assert "public.alembic_version" in refused.value.message


def test_a_table_planted_in_front_is_not_used_for_our_own_words(database: Postgres):
    database.run("CREATE SCHEMA planted")
    database.run("CREATE TABLE planted.pg_class (relname name)")
    database.run(f'ALTER ROLE "{database.user}" SET search_path = planted, pg_catalog, public')
    create(database, "public", "alembic_version", "0001")
    assert read(database, spec()) == ("0001",)
