"""What is done for a login of a tool's own."""

from whimbrel.planning.dialects import postgresql_roles as roles


def test_the_login_belongs_to_the_owner():
    assert roles.create_role("run_1", "SCRAM-SHA-256$x", "shop") == (
        'CREATE ROLE "run_1" LOGIN PASSWORD \'SCRAM-SHA-256$x\' IN ROLE "shop"',
        "ALTER ROLE \"run_1\" SET role = 'shop'",
    )


def test_settings_are_copied_as_they_are_now():
    assert roles.keep_setting("r", "my.x") == 'ALTER ROLE "r" SET "my"."x" FROM CURRENT'


def test_a_login_that_is_not_the_owner_needs_two_statements():
    assert roles.grant_role_making("deploy", "shop") == (
        'ALTER ROLE "deploy" CREATEROLE;',
        'GRANT "shop" TO "deploy" WITH ADMIN OPTION;',
    )


def test_names_stay_names_in_what_a_dba_pastes():
    text = " ".join(roles.prepare_login("whimbrel", "o'run", "shop"))
    assert "ALTER ROLE %I NOLOGIN', 'o''run')" in text
    assert 'REVOKE ALL ON FUNCTION "whimbrel"."o\'run"(text) FROM PUBLIC;' in text
