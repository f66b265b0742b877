"""Logins of their own for foreign tools on PostgreSQL, as text."""

from typing import Final

from whimbrel.planning.dialects.postgresql import quote_identifier, quote_literal, quote_name

NO_ROLE: Final = "SET LOCAL ROLE NONE"
SESSION_NO_ROLE: Final = "SET ROLE NONE"
ROLE_EXISTS: Final = "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1::text)"
# The sessions of a role that somebody dropped go on without a name.
NAMELESS_SESSIONS: Final = (
    "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity"
    " WHERE usesysid IS NOT NULL AND usename IS NULL"
)
SETTINGS_OF_LOGIN: Final = (
    "SELECT pg_catalog.unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting s"
    " JOIN pg_catalog.pg_roles r ON r.oid = s.setrole LEFT JOIN pg_catalog.pg_database d"
    " ON d.oid = s.setdatabase WHERE r.rolname = session_user"
    " AND (s.setdatabase = 0 OR d.datname = pg_catalog.current_database())"
    " ORDER BY s.setdatabase"
)
SET_LOCAL: Final = "SELECT pg_catalog.set_config($1, $2, true)"
FUNCTION_EXISTS: Final = (
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n"
    " ON n.oid = p.pronamespace WHERE n.nspname = $1::text AND p.proname = $2::text)"
)


def create_role(name: str, verifier: str, owner: str) -> tuple[str, ...]:
    """Return the statements that make a login whose objects belong to the owner role."""
    role, group = quote_identifier(name), quote_identifier(owner)
    password = quote_literal(verifier)
    return (
        f"CREATE ROLE {role} LOGIN PASSWORD {password} IN ROLE {group}",
        f"ALTER ROLE {role} SET role = {quote_literal(owner)}",
    )


def keep_setting(name: str, setting: str) -> str:
    """Return the statement that gives a role the value which a setting has now.

    FROM CURRENT, because a list such as search_path cannot be written back as one string.
    """
    parts = ".".join(quote_identifier(part) for part in setting.split("."))
    return f"ALTER ROLE {quote_identifier(name)} SET {parts} FROM CURRENT"


def allow_login(name: str, verifier: str) -> str:
    """Return the statement that gives a role a new password and lets it log in."""
    return f"ALTER ROLE {quote_identifier(name)} LOGIN PASSWORD {quote_literal(verifier)}"


def forbid_login(name: str) -> str:
    """Return the statement after which a role cannot log in."""
    return f"ALTER ROLE {quote_identifier(name)} NOLOGIN"


def hand_over(name: str, owner: str) -> tuple[str, ...]:
    """Return the statements after which nothing in this database depends on a role."""
    role = quote_identifier(name)
    return (f"REASSIGN OWNED BY {role} TO {quote_identifier(owner)}", f"DROP OWNED BY {role}")


def drop_role(name: str) -> str:
    """Return the statement that removes a role."""
    return f"DROP ROLE IF EXISTS {quote_identifier(name)}"


def call_prepared(schema: str, role: str) -> str:
    """Return the call of the function that a DBA prepared for a login (`prepare_login`)."""
    return f"SELECT {quote_name(schema, role)}($1::pg_catalog.text)"


def grant_role_making(login: str, owner: str) -> tuple[str, ...]:
    """Return what a DBA runs so that a login may make logins of its own (PostgreSQL 14 to 18)."""
    user, group = quote_identifier(login), quote_identifier(owner)
    if login != owner:
        return (f"ALTER ROLE {user} CREATEROLE;", f"GRANT {group} TO {user} WITH ADMIN OPTION;")
    # No role has ADMIN OPTION on itself, so it takes a second login for the URL.
    deploy = quote_identifier(f"{owner[:48]}_deploy")
    return (
        f"CREATE ROLE {deploy} LOGIN CREATEROLE PASSWORD 'choose-one';",
        f"GRANT {group} TO {deploy} WITH ADMIN OPTION;",
        f"ALTER ROLE {deploy} SET role = {quote_literal(owner)};",
    )


def prepare_login(schema: str, role: str, owner: str) -> tuple[str, ...]:
    """Return what a DBA runs to prepare a login for `database.runRole`.

    The function lets our login end exactly this role's logins and give it a new password for each
    attempt: with one lasting password a process of an earlier attempt could come back.
    """
    name, function = quote_identifier(role), quote_name(schema, role)
    user, literal = quote_identifier(owner), quote_literal(role)
    return (
        f"CREATE ROLE {name} LOGIN PASSWORD 'choose-one' IN ROLE {user};",
        f"ALTER ROLE {name} SET role = {quote_literal(owner)};",
        f"CREATE FUNCTION {function}(secret text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = pg_catalog, pg_temp AS $body$ BEGIN"
        f" IF secret IS NULL THEN EXECUTE format('ALTER ROLE %I NOLOGIN', {literal});"
        f" ELSE EXECUTE format('ALTER ROLE %I LOGIN PASSWORD %L', {literal}, secret); END IF;"
        " END $body$;",
        f"REVOKE ALL ON FUNCTION {function}(text) FROM PUBLIC;",
        f"GRANT EXECUTE ON FUNCTION {function}(text) TO {user};",
    )
