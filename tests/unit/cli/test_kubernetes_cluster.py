"""The commands against an API server: a small one that answers over HTTP, as kubectl sees it."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from whimbrel.cli.main import app
from whimbrel.model.errors import WhimbrelError

TOKEN = "Start:0123456789ab"
MOMENT = "2026-01-01T00:00:00Z"
STATUS = {
    "phase": "Held",
    "message": "a human decides",
    "gate": {"name": "Start", "token": TOKEN, "plan": "shop-plan-0123456789ab", "since": MOMENT},
    "run": {"id": "run-1", "segment": "Migrate", "attempt": 2, "state": "Open"}
    | {"generation": 1, "startedAt": MOMENT},
    "salvage": ["salvage_run-1_1"],
    "conditions": [
        {"type": "Ready", "status": "False", "reason": "Held"}
        | {"observedGeneration": 1, "lastTransitionTime": MOMENT}
    ],
    "active": "green",
    "checks": [{"name": "api", "moment": "Soak"}],
}


@dataclass
class Server:
    """What the server has and what it was asked to change."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    patches: list[dict[str, Any]] = field(default_factory=list)
    kubeconfig: str = ""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    known = Server()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = known.objects.get(self.path)
            self.reply(200 if found else 404, found or {"message": "not found"})

        def do_PATCH(self) -> None:
            if self.path not in known.objects:
                return self.reply(404, {"message": "not found"})
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.headers["Content-Type"] == "application/merge-patch+json"
            known.patches.append(body)
            return self.reply(200, known.objects[self.path])

        def reply(self, code: int, body: dict[str, Any]) -> None:
            text = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    known.kubeconfig = str(kubeconfig(tmp_path, listening.server_address[1]))
    prefix = "/apis/whimbrel.dev/v1alpha1/namespaces/team/databasemigrations/"
    spec = {"migrations": {"tool": "sql"}}
    metadata = {"name": "shop", "namespace": "team"}
    known.objects[prefix + "shop"] = {"metadata": metadata, "spec": spec, "status": STATUS}
    known.objects["/api/v1/namespaces/team/configmaps/shop-plan-0123456789ab"] = {
        "metadata": {"name": "x"},
        "data": {"plan": "up to 003"},
    }
    yield known
    listening.shutdown()
    listening.server_close()


def kubeconfig(folder: Path, port: int) -> Path:
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "team"}}
        ],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(body))
    return path


def ask(server: Server, *words: str) -> str:
    told = CliRunner().invoke(app, [*words, "--kubeconfig", server.kubeconfig])
    if isinstance(told.exception, WhimbrelError):
        return told.exception.message
    assert told.exit_code == 0, told
    return told.output


def annotations(server: Server) -> dict[str, str]:
    return server.patches[-1]["metadata"]["annotations"]


def test_approve_writes_the_token_that_waits(server: Server):
    assert TOKEN in ask(server, "approve", "shop")
    assert annotations(server) == {"whimbrel.dev/approve": TOKEN}
    assert "not Start:ffff" in ask(server, "approve", "shop", "Start:ffff")
    assert len(server.patches) == 1


def test_plan_shows_the_config_map_of_the_gate(server: Server):
    assert ask(server, "plan", "shop") == "up to 003\n"


LAST = {"segment": "Migrate", "attempt": 2, "outcome": "Held", "reason": "FenceUnproven"}
LAST |= {"message": "not proven", "at": MOMENT}
HELD = STATUS["run"] | {"state": "Closed", "last": LAST}


def with_run(server: Server, run: dict[str, Any] | None) -> None:
    """Let the operator write another run into status."""
    (found,) = (body for path, body in server.objects.items() if path.endswith("/shop"))
    rest = {key: value for key, value in STATUS.items() if key != "run"}
    found["status"] = rest | ({"run": run} if run else {})


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(None, id="nothing was ever started"),
        pytest.param(STATUS["run"], id="the run goes on"),
        pytest.param(HELD | {"state": "Open"}, id="it was answered already, and goes on"),
        pytest.param(HELD | {"last": LAST | {"outcome": "Failed"}}, id="it failed"),
        pytest.param(HELD | {"last": LAST | {"outcome": "Done"}}, id="it is done"),
        pytest.param(STATUS["run"] | {"holder": {"run": "theirs"}}, id="it waits for another one"),
    ],
)
@pytest.mark.parametrize("verdict", ["FenceProven", "LedgerAccepted"])
def test_resolve_answers_only_what_was_asked(server: Server, run: dict[str, Any], verdict: str):
    """On a run that goes on the answer would be kept, and vouch for what nobody has asked yet."""
    with_run(server, run)
    said = ask(server, "resolve", "shop", "--as", verdict, "--by", "ada", "--reason", "x")
    assert said.startswith("no run of shop is held, so there is nothing to resolve"), said
    assert "\n" not in said
    assert server.patches == []


def test_resolve_speaks_of_the_run_that_is_held(server: Server):
    with_run(server, HELD)
    words = ("--as", "FenceProven", "--by", "ada", "--reason", "node is off")
    ask(server, "resolve", "shop", "-n", "team", *words)
    assert annotations(server).pop("whimbrel.dev/resolve-at")
    assert annotations(server) == {
        "whimbrel.dev/resolve": "FenceProven:run-1",
        "whimbrel.dev/resolve-by": "ada",
        "whimbrel.dev/resolve-reason": "node is off",
    }


def test_take_over_speaks_of_the_run_that_holds(server: Server):
    words = ("resolve", "shop", "--as", "TakeOver", "--by", "ada", "--reason", "cluster is gone")
    for run in (STATUS["run"], HELD, None):
        with_run(server, run)
        assert "no run of shop waits for another one" in ask(server, *words)
    assert server.patches == []
    with_run(server, STATUS["run"] | {"holder": {"run": "theirs"}})
    ask(server, *words)
    assert annotations(server)["whimbrel.dev/resolve"] == "TakeOver:theirs"


def test_retry_and_rollback_are_dated_annotations(server: Server):
    ask(server, "retry", "shop")
    assert annotations(server)["whimbrel.dev/retry-requested-at"].endswith("Z")
    ask(server, "rollback", "shop")
    assert annotations(server)["whimbrel.dev/rollback-requested-at"].endswith("Z")


def test_rollback_to_a_revision_and_with_consent_changes_the_spec(server: Server):
    consent = ("--allow-data-loss", "--by", "ada", "--reason", "test data")
    ask(server, "rollback", "shop", "--to", "002", *consent)
    accepted = {"by": "ada", "reason": "test data"}
    assert server.patches == [
        {"spec": {"rollback": {"allowDataLoss": accepted}, "migrations": {"to": "002"}}}
    ]


def test_rollback_to_base_asks_for_nothing_applied(server: Server):
    assert "spec.migrations.to is base now" in ask(server, "rollback", "shop", "--to", "base")
    assert server.patches == [{"spec": {"migrations": {"to": "base"}}}]


def test_status_and_history_show_what_the_object_says(server: Server):
    shown = ask(server, "status", "shop").splitlines()
    for row in ("Ready: False (Held)", "traffic: green", "checks: api Soak Open"):
        assert row in [" ".join(line.split()) for line in shown]
    assert json.loads(ask(server, "status", "shop", "-o", "json"))["status"] == STATUS
    assert "salvage_run-1_1" in ask(server, "history", "shop")


@pytest.mark.parametrize("command", ["status", "approve", "retry", "rollback", "plan", "history"])
def test_an_unknown_name_is_one_sentence(server: Server, command: str):
    assert ask(server, command, "nope") == "there is no nope in the namespace team"


def test_a_cluster_that_does_not_answer_is_one_sentence(tmp_path: Path):
    away = Server(kubeconfig=str(kubeconfig(tmp_path, 1)))
    assert ask(away, "status", "shop") == "the cluster's API server does not answer"
