"""TLS to a real PostgreSQL: the runner and the tool talk to nobody but the server that is meant."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import NUMBERS
from tests.db.certificates import NAME, certificates
from tests.db.tool_shop import opened_shop
from tests.postgres import Postgres, create_database, running_postgres
from tests.processes import ROOT, built_launcher
from tests.runner_process import Answer, Attempt, attempt_on
from tests.scenarios.terminal import PASSWORDS
from tests.typeorm_shop import copied, migration, query
from whimbrel.machine.decisions import CreateJob
from whimbrel.machine.pods import SHARED, pod_spec
from whimbrel.model.errors import TransientError
from whimbrel.model.order import Order
from whimbrel.model.spec import parse_spec
from whimbrel.model.steps import Direction, RunTool, StepId
from whimbrel.runner.mounts import read_target
from whimbrel.runner.preflight import check_server
from whimbrel.runner.run_tool import ToolFailedError, run_tool
from whimbrel.runner.sessions import connect

VERSION = 15  # Debian's package; those from PyPI are built without OpenSSL
CA = {"configMapKeyRef": {"name": "shop-ca", "key": "root.pem"}}
WITH_CA = ("database.tls.caFrom", CA)
IS_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@dataclass(frozen=True)
class Secured:
    """A server that offers TLS, its authority, and one that did not sign it."""

    server: Postgres
    authority: Path
    stranger: Path


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    with certificates() as made:
        tls = ("ssl=on", f"ssl_cert_file={made.server}", f"ssl_key_file={made.key}")
        with running_postgres(VERSION, *tls) as server:
            yield Secured(server, made.authority, made.stranger)


@pytest.fixture
def database(secured: Secured) -> Postgres:
    """Return a fresh database of the server that offers TLS."""
    return create_database(secured.server, f"tls{next(NUMBERS)}")


def url_of(database: Postgres, host: str = NAME, query: str = "") -> str:
    """Return the URL as it stands in the Secret."""
    return database.url.replace("@127.0.0.1:", f"@{host}:") + query


def mounted(root: Path, url: str, ca: Path) -> Path:
    """Put a Secret and the file of database.tls.caFrom where Kubernetes mounts them."""
    for part in ("database", "ca"):
        (root / part).mkdir(parents=True, exist_ok=True)
    (root / "database/url").write_text(url)
    shutil.copy(ca, root / "ca/ca.crt")
    return root


SPEC = parse_spec({
    "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}, "tls": {"caFrom": CA}},
    "migrations": {"tool": "sql", "inline": {"files": {"001_a.up.sql": "SELECT 1"}}},
})  # fmt: skip


def assert_told(words: str, text: str) -> None:
    """Check that a message says this, on one line, and holds no password."""
    assert words in text
    assert "\n" not in text
    assert not [each for each in PASSWORDS if each in text]


def test_the_server_that_is_meant_is_talked_to_encrypted(
    secured: Secured, database: Postgres, tmp_path: Path
):
    target = read_target(SPEC, mounted(tmp_path, url_of(database), secured.authority))
    assert dict(target.parameters)["sslmode"] == "verify-full"
    with closing(connect(target, "whimbrel")) as session:
        assert session.execute(IS_ENCRYPTED).fetchone() == (True,)
    assert check_server(target, "whimbrel").warnings == ()


NOT_ACCEPTED = "the server's certificate is not accepted"


@pytest.mark.parametrize(
    ("place", "ca"),
    [
        pytest.param((NAME,), "stranger", id="another authority signed it"),
        pytest.param(("127.0.0.1",), "authority", id="its certificate has another name"),
        pytest.param((NAME, "?sslmode=require"), "stranger", id="require checks the authority"),
    ],
)
def test_another_server_is_refused(
    secured: Secured, database: Postgres, tmp_path: Path, place: tuple[str, ...], ca: str
):
    root = mounted(tmp_path, url_of(database, *place), getattr(secured, ca))
    with pytest.raises(TransientError) as refused:
        check_server(read_target(SPEC, root), "whimbrel")
    assert refused.value.reason == "TLSFailed"
    assert_told(NOT_ACCEPTED, refused.value.message)


def test_a_server_without_tls_is_refused(
    secured: Secured, postgres_server: Callable[[int], Postgres], tmp_path: Path
):
    plain = create_database(postgres_server(VERSION), f"plain{next(NUMBERS)}")
    root = mounted(tmp_path, url_of(plain), secured.authority)
    with pytest.raises(TransientError) as refused:
        check_server(read_target(SPEC, root), "whimbrel")
    assert refused.value.reason == "TLSFailed"
    assert_told("the server has no TLS", refused.value.message)


def test_a_weaker_mode_is_honoured_with_a_warning(
    secured: Secured, database: Postgres, tmp_path: Path
):
    url = url_of(database, "127.0.0.1", "?sslmode=require")
    target = read_target(SPEC, mounted(tmp_path, url, secured.authority))
    with closing(connect(target, "whimbrel")) as session:
        assert session.execute(IS_ENCRYPTED).fetchone() == (True,)
    (warning,) = check_server(target, "whimbrel").warnings
    assert_told("WeakTLS: the URL says sslmode=require", warning)


TOLD_BY_THE_SERVER = {
    "001_seen.up.sql": f"CREATE TABLE seen AS {IS_ENCRYPTED};",
    "001_seen.down.sql": "DROP TABLE seen;",
}


def secured_attempt(database: Postgres, folder: Path, url: str) -> Attempt:
    """Return an attempt of an object that names the authority."""
    attempt = attempt_on(database, folder, TOLD_BY_THE_SERVER, spec=(WITH_CA,))
    return replace(attempt, url=url)


def run_with(attempt: Attempt, ca: Path | None) -> Answer:
    """Run an attempt with what Kubernetes mounts for database.tls.caFrom."""
    root = attempt.root
    if ca is not None:
        mounted(root, attempt.url, ca)
    answer = attempt.run_to_end()
    assert not [each for each in PASSWORDS if each in answer.log + json.dumps(answer.result)]
    return answer


def test_the_runner_migrates_encrypted(secured: Secured, database: Postgres, tmp_path: Path):
    answer = run_with(secured_attempt(database, tmp_path, url_of(database)), secured.authority)
    assert (answer.code, answer.result.get("revision")) == (0, "001"), answer
    assert database.run("SELECT ssl FROM seen") == [(True,)]
    assert "warnings" not in answer.result


def test_a_wrong_authority_heals_when_the_right_one_is_given(
    secured: Secured, database: Postgres, tmp_path: Path
):
    first = secured_attempt(database, tmp_path, url_of(database))
    missing = run_with(first, None)
    assert (missing.code, missing.result["reason"]) == (75, "SecretMissing"), missing
    assert_told("ConfigMap 'shop-ca' with the key 'root.pem'", missing.result["message"])
    wrong = run_with(first.next(), secured.stranger)
    assert (wrong.code, wrong.result["reason"]) == (75, "TLSFailed"), wrong
    assert_told(NOT_ACCEPTED, wrong.result["message"])
    assert database.run("SELECT to_regnamespace('whimbrel')") == [(None,)]
    right = run_with(first.next().next(), secured.authority)
    assert (right.code, right.result.get("revision")) == (0, "001"), right


def test_a_weaker_mode_warns_in_status(secured: Secured, database: Postgres, tmp_path: Path):
    url = url_of(database, "127.0.0.1", "?sslmode=require")
    answer = run_with(secured_attempt(database, tmp_path, url), secured.authority)
    assert answer.code == 0, answer
    assert [each.partition(":")[0] for each in answer.result["warnings"]] == ["WeakTLS"]
    assert database.run("SELECT ssl FROM seen") == [(True,)]


# What the tool's own connection was opened with, and what the server says of it.
SEEN_BY_THE_TOOL = f'''"""seen"""
from alembic import op
revision = "0004"
down_revision = "0003"
def upgrade():
    used = op.get_bind().connection.driver_connection.info.get_parameters()
    op.execute("CREATE TABLE seen AS {IS_ENCRYPTED}")
    op.execute("ALTER TABLE seen ADD COLUMN mode text DEFAULT '%s'" % used["sslmode"])
def downgrade():
    pass
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    app = Path(shutil.copytree(ROOT / "examples/tools/alembic", tmp_path / "app"))
    (app / "migrations/versions/0004_seen.py").write_text(SEEN_BY_THE_TOOL)
    return app


def alembic_spec() -> dict:
    return {
        "database": {
            "urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}},
            "tls": {"caFrom": CA},
        },
        "migrations": {
            "tool": "alembic",
            "image": "shop:1",
            "databaseURL": {"scheme": "postgresql+psycopg"},
        },
    }


def hidden_from_the_tool() -> list[str]:
    """Return the folders below /whimbrel that the Pod gives to the runner and not to the tool."""
    body = {"segment": "Migrate", "namespace": "team", "name": "shop", "uid": "u", "cluster": "c"}
    order = Order.model_validate(
        body | {"number": 1, "run": "run1", "attempt": 1, "spec": alembic_spec()}
    )
    pod = pod_spec(CreateJob("job", order, "whimbrel:1", "shop:1"))
    seen = {
        each["name"]: {mount["mountPath"] for mount in each["volumeMounts"]}
        for each in pod["containers"]
    }
    paths = seen["runner"] - seen["tool"]
    return [path.removeprefix("/whimbrel/") for path in paths if path.startswith("/whimbrel/")]


def run_in_pod(attempt: Attempt, project: Path, ca: Path, tools_ca: Path | None = None) -> Answer:
    """Run with the real launcher, which sees only what the container of the tool mounts."""
    root = attempt.root
    mounted(root, attempt.url, ca)
    assert SHARED == "/whimbrel/shared"
    hide = [f"mount -t tmpfs none {root / part}" for part in hidden_from_the_tool()]
    give = [f"mount --bind {tools_ca} {root}/ca/ca.crt"] if tools_ca else []
    running = attempt.start()
    serve = f"exec {built_launcher()} serve {root}/shared/tool.sock"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    launcher = subprocess.Popen(
        ["unshare", "--mount", "sh", "-ec", "\n".join([*hide, *give, serve])],
        cwd=project,
        env={"PATH": path, "HOME": str(attempt.folder), "LANG": "C.UTF-8"},
    )
    answer = replace(running, tool=launcher).finish()
    assert not [each for each in PASSWORDS if each in answer.log + json.dumps(answer.result)]
    return answer


@pytest.fixture
def tools_attempt(database: Postgres) -> Iterator[Attempt]:
    # Not tmp_path: a Unix socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        order = (("spec", alembic_spec()),)
        yield Attempt(Path(folder), url_of(database), (), order=order)


def test_the_password_is_hidden_from_the_tools_place_and_the_authority_is_not():
    assert sorted(hidden_from_the_tool()) == ["database", "order"]


def test_the_tool_verifies_the_server_too(
    secured: Secured, database: Postgres, project: Path, tools_attempt: Attempt
):
    answer = run_in_pod(tools_attempt, project, secured.authority)
    assert (answer.code, answer.result.get("revision")) == (0, "0004"), answer
    assert database.run("SELECT ssl, mode FROM seen") == [(True, "verify-full")]


def test_the_tool_itself_refuses_a_server_that_its_authority_did_not_sign(
    secured: Secured, database: Postgres, project: Path, tools_attempt: Attempt
):
    answer = run_in_pod(tools_attempt, project, secured.authority, secured.stranger)
    assert "certificate verify failed" in answer.result["message"], answer
    assert answer.code != 0, answer
    assert database.run("SELECT to_regclass('alembic_version')") == [(None,)]


@pytest.mark.soak
@pytest.mark.parametrize(
    ("place", "told"),
    [
        pytest.param((NAME, "", "authority"), "", id="the server that is meant"),
        pytest.param(
            ("127.0.0.1", "?sslmode=verify-ca", "authority"), "", id="its name is not checked"
        ),
        pytest.param((NAME, "", "stranger"), "certificate", id="another authority signed it"),
        pytest.param(("127.0.0.1", "", "authority"), "altnames", id="it has another name"),
    ],
)
def test_node_obeys_the_words_of_libpq(
    secured: Secured, database: Postgres, tmp_path: Path, place: tuple[str, str, str], told: str
):
    host, words, ca = place
    root = mounted(tmp_path, url_of(database, host, words), getattr(secured, ca))
    app = copied(tmp_path / "app")
    name = "Seen1767139200000"  # before the example's own
    migration(app, name, query(f"CREATE TABLE seen AS {IS_ENCRYPTED}"))
    argv = ("typeorm", "migration:run", "--to", name)
    step = RunTool(StepId("up"), Direction.UP, argv, before=(), revisions=(name,))
    path = f"{Path(shutil.which('node') or '').parent}:/usr/bin:/bin"
    with opened_shop(app, database, path, {"tool": "typeorm"}) as shop:
        password = shop.target.password
        shop.target = replace(read_target(SPEC, root), password=password)
        if told:
            with pytest.raises(ToolFailedError) as failed:
                run_tool(shop.place(), step, lambda **_: ())
            assert told in failed.value.message
            return
        run_tool(shop.place(), step, shop.rows)
        assert shop.sql("SELECT ssl FROM seen") == [(True,)]
