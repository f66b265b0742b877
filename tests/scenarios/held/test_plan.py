"""A plan waits for a person, or is another one than the person saw."""

from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.scenarios.held.asking import (
    FILES,
    GATE,
    LOSSY,
    MORE,
    PATIENT,
    await_begun,
    await_waiter,
    closed_gate,
    finish,
    held,
    obey,
)
from tests.scenarios.held.conftest import ELSEWHERE
from tests.scenarios.terminal import Said, Terminal

GATED = {"before": ["Start"]}
WAITS = "waits for approval"


@pytest.fixture(params=[ELSEWHERE, {}], ids=["--state-dir", "default place"])
def terminal(request, tmp_path: Path, database: Postgres) -> Terminal:
    """Here also with the records in the usual place, which no command has to name."""
    return Terminal(tmp_path, database.url, request.param)


@pytest.mark.sampled("a question about a plan")
def test_awaiting_approval(terminal: Terminal, database: Postgres):
    file = terminal.manifest(FILES, approval=GATED)
    said = terminal.type(f"whimbrel run {file}")
    held(said, "AwaitingApproval", told=WAITS)
    assert "001_users.up.sql" in said.err
    assert database.run("SELECT to_regclass('users')") == [(None,)]
    assert "waits for" in terminal.type("whimbrel status shop").out
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT count(*) FROM users") == [(1,)]


@pytest.mark.sampled("a question about a plan")
def test_a_changed_plan_waits_again(terminal: Terminal):
    said = terminal.type(f"whimbrel run {terminal.manifest(FILES, approval=GATED)}")
    assert terminal.type(said.command).code == 0
    again = terminal.type(f"whimbrel run {terminal.manifest(LOSSY, approval=GATED)}")
    assert (again.code, "002_more.up.sql" in again.err) == (3, True)
    assert terminal.type(said.command).code == 2


@pytest.mark.sampled("a question about a plan")
def test_was_rolled_back(terminal: Terminal, database: Postgres):
    file = terminal.manifest(FILES)
    terminal.type(f"whimbrel run {file}")
    assert terminal.type("whimbrel rollback shop --to base").code == 0
    said = terminal.type(f"whimbrel run {file}")
    held(said, "WasRolledBack")
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT count(*) FROM users") == [(1,)]


def obey_and_approve(terminal: Terminal, said: Said) -> Said:
    """Obey; the plan of now is shown, and approved as printed."""
    shown = obey(terminal, said)
    held(shown, "AwaitingApproval", told=WAITS)
    return obey(terminal, shown)


@pytest.mark.sampled("a question about a plan")
def test_the_plan_changed_while_the_approved_one_waited(terminal: Terminal, database: Postgres):
    slow = MORE | {"001_users.up.sql": MORE["001_users.up.sql"] + GATE}
    file = terminal.manifest(slow, approval=GATED, limits=PATIENT)
    assert terminal.type(terminal.type(f"whimbrel run {file}").command).code == 0
    first = {name: text for name, text in slow.items() if name.startswith("001")}
    other = terminal.manifest(first, "other", limits=PATIENT)
    with closed_gate(database):
        theirs = terminal.start(f"whimbrel run {other}")
        await_waiter(database, "advisory")
        ours = terminal.start(f"whimbrel run {file} --wait 60s")
        await_begun(terminal)
    assert finish(theirs).code == 0
    said = finish(ours)
    held(said, "PlanChanged")
    assert database.run("SELECT to_regclass('more')") == [(None,)]
    done = obey_and_approve(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT to_regclass('more') IS NOT NULL") == [(True,)]


@pytest.mark.sampled("a question about a plan")
def test_a_way_down_that_became_a_way_up_was_not_approved(terminal: Terminal, database: Postgres):
    slow = MORE | {"001_users.down.sql": GATE + MORE["001_users.down.sql"]}
    terminal.type(f"whimbrel run {terminal.manifest(slow, 'other', limits=PATIENT)}")
    lower = terminal.manifest(slow, approval=GATED, limits=PATIENT, migrations={"to": "001"})
    with closed_gate(database):
        theirs = terminal.start("whimbrel rollback other --to base")
        await_waiter(database, "advisory")
        ours = terminal.start(f"whimbrel run {lower} --wait 60s")
        await_begun(terminal)
    assert finish(theirs).code == 0
    said = finish(ours)
    held(said, "NotApproved")
    assert database.run("SELECT to_regclass('users')") == [(None,)]
    done = obey_and_approve(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT count(*), to_regclass('more') FROM users") == [(1, None)]
