"""Fences on real servers: what proves that an earlier attempt has ended, and what does not."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.db.orders import (
    RUN,
    a_ledger,
    a_session,
    an_order,
    manners,
    resolved,
    sleeps,
    target_of,
    until,
)
from tests.db.pgbouncer import running_pgbouncer
from whimbrel.model.errors import HeldError, TransientError
from whimbrel.runner import fence as fences, strangers
from whimbrel.runner.attempts import (
    close_attempt,
    mark_fenced,
    open_attempt,
    read_attempts,
    record_tool,
)
from whimbrel.runner.fence import Fence, fence_run
from whimbrel.runner.ledger import Ledger, install_ledger, raise_epoch, read_meta
from whimbrel.runner.lock import assert_step_may_run, take_lock
from whimbrel.runner.process import Process, process_is_gone, this_process
from whimbrel.runner.resolutions import read_resolutions
from whimbrel.runner.runs import reserve
from whimbrel.runner.sessions import open_session

NAME = manners().application_name
COMMAND = "whimbrel resolve schema -n shop --as FenceProven --by WHO --reason TEXT"


def no_fence(_: str) -> str:
    return ""


def an_attempt(ledger, *, tool: bool = False, **changes) -> None:
    """Open the order's attempt as a worker does; it never closes it."""
    order = an_order(**changes)
    reserve(ledger, order, no_fence)
    open_attempt(ledger, order, name=NAME)
    if tool:
        record_tool(ledger, order)


def fence_of(database, ledger, **changes) -> Fence:
    return Fence(ledger, target_of(database), an_order(attempt=2, **changes))


@pytest.fixture
def ledger(database):
    with a_ledger(database) as opened:
        yield opened


def test_an_attempt_that_the_runner_closed_needs_no_fence(database, ledger):
    an_attempt(ledger, tool=True)
    close_attempt(ledger, an_order(), "{}")
    assert fence_run(fence_of(database, ledger), RUN) == ""
    assert read_meta(ledger).epoch == 1


def long_step(ledger) -> None:
    with ledger.session.transaction():
        assert_step_may_run(ledger, 1)
        ledger.session.execute("insert into t select 1 from pg_sleep(60)")


def in_a_thread(work) -> tuple[threading.Thread, list[psycopg.Error]]:
    errors = []

    def run() -> None:
        try:
            work()
        except psycopg.Error as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def test_epoch_ends_the_sessions_of_a_runner_that_is_gone(any_database):
    """The old worker holds the lock and sits in a step; its statement must not come through."""
    with a_session(any_database) as old, a_session(any_database) as new:
        opened = Ledger(old, "whimbrel")
        with a_ledger(any_database):
            an_attempt(opened)
        take_lock(old, patience=0)
        old.execute("create table t (n int)")
        working, errors = in_a_thread(lambda: long_step(opened))
        until(lambda: sleeps(any_database, old))
        ledger = Ledger(new, "whimbrel")
        assert fence_run(fence_of(any_database, ledger), RUN) == "Epoch"
        working.join()
        assert len(errors) == 1
        take_lock(new, patience=5)
        assert new.execute("select count(*) from t").fetchone() == (0,)
        assert read_meta(ledger).epoch == 2
        assert read_attempts(ledger, RUN)[0].fence == "Epoch"


def test_a_runner_that_reconnects_finds_a_higher_epoch(database, ledger):
    an_attempt(ledger)
    fence_run(fence_of(database, ledger), RUN)
    with a_session(database) as zombie:
        take_lock(zombie, patience=0)
        with pytest.raises(TransientError) as old:
            assert_step_may_run(Ledger(zombie, "whimbrel"), 1)
        assert old.value.reason == "Superseded"
        with pytest.raises(TransientError, match="taken over"):
            close_attempt(Ledger(zombie, "whimbrel"), an_order(), "{}")


def test_a_session_that_comes_back_between_the_rounds_is_ended_too(database, ledger):
    """Order of work: terminate, raise the epoch (bounded, else back to start), terminate, see 0."""
    an_attempt(ledger)
    stop = threading.Event()
    came = []

    def come_back() -> None:
        while not stop.is_set():
            try:
                with a_session(database) as zombie, zombie.transaction():
                    zombie.execute("select epoch from whimbrel.meta for share")
                    came.append(zombie.info.backend_pid)
                    zombie.execute("select pg_sleep(0.3)")
            except (psycopg.Error, TransientError):
                continue
            stop.wait(0.05)

    zombies = threading.Thread(target=come_back)
    zombies.start()
    try:
        until(lambda: came)
        assert fence_run(fence_of(database, ledger), RUN) == "Epoch"
    finally:
        stop.set()
        zombies.join()
    assert read_meta(ledger).epoch >= 2


def test_sessions_of_ours_are_spared(database, ledger):
    an_attempt(ledger)
    with a_session(database) as watchdog:
        spared = replace(fence_of(database, ledger), spare=(watchdog.info.backend_pid,))
        fence_run(spared, RUN)
        assert watchdog.execute("select 1").fetchone() == (1,)


def test_other_runs_sessions_are_spared(database, ledger):
    an_attempt(ledger)
    with a_session(database, "run-9") as other:
        fence_run(fence_of(database, ledger), RUN)
        assert other.execute("select 1").fetchone() == (1,)


def test_nothing_proves_the_end_of_a_tool_then_a_person_decides(database, ledger):
    an_attempt(ledger, tool=True)
    with a_session(database) as tool:
        with pytest.raises(HeldError) as held:
            fence_run(fence_of(database, ledger), RUN)
        assert (held.value.reason, held.value.command) == ("FenceUnproven", COMMAND)
        assert tool.execute("select 1").fetchone() == (1,)
    assert read_attempts(ledger, RUN)[0].state == "open"
    proven = fence_of(database, ledger, resolution=resolved("FenceProven"))
    assert fence_run(proven, RUN) == "FenceProven"
    assert [answer.verdict for answer in read_resolutions(ledger)] == ["FenceProven"]


POD = this_process().host.split()[0]


@pytest.mark.parametrize(
    ("changes", "proof"),
    [
        pytest.param({"ended": (f"Migrate/1@{POD}",)}, "Kubelet", id="the kubelet saw it end"),
        pytest.param(
            {"ended": (f"{RUN}/Migrate/1@{POD}",), "run": "run-3"},
            "Kubelet",
            id="it saw that run's end",
        ),
        pytest.param({"ended": (f"Migrate/2@{POD}",)}, None, id="it saw others end"),
        pytest.param({"ended": ("Migrate/1@another",)}, None, id="it saw another Pod of it end"),
        pytest.param(
            {"ended": (f"Migrate/1@{POD}",), "run": "run-3"},
            None,
            id="the same number of another run",
        ),
        pytest.param({"resolution": resolved("TakeOver")}, None, id="another verdict"),
        pytest.param({"resolution": resolved("FenceProven", "x")}, None, id="about another run"),
    ],
)
def test_what_the_order_says_of_a_tool(database, ledger, changes, proof):
    an_attempt(ledger, tool=True)
    fence = fence_of(database, ledger, **changes)
    if proof is None:
        with pytest.raises(HeldError):
            fence_run(fence, RUN)
        return
    with a_session(database) as tool:
        assert fence_run(fence, RUN) == proof
        with pytest.raises(psycopg.OperationalError):
            tool.execute("select 1")


@contextmanager
def at_work(database, seconds: float) -> Iterator[psycopg.Connection]:
    """Open a session that env.py might have named so, with a statement that runs."""
    with database.connect(application_name="shop") as session:
        working, _ = in_a_thread(lambda: session.execute("select pg_sleep(%s)", [seconds]))
        until(lambda: sleeps(database, session))
        yield session
        session.cancel()
        working.join()


def test_a_session_of_the_tools_login_that_is_at_work_under_another_name_leaves_it_unproven(
    database, ledger, monkeypatch
):
    """The kubelet's word is about processes; what one of them left running may still commit."""
    monkeypatch.setattr(strangers, "PATIENCE", 0.2)
    ended = fence_of(database, ledger, ended=(f"Migrate/1@{POD}",))
    an_attempt(ledger, tool=True)
    with at_work(database, 60) as other:
        with pytest.raises(HeldError) as held:
            fence_run(ended, RUN)
        assert (held.value.reason, held.value.command) == ("FenceUnproven", COMMAND)
        assert f"pid {other.info.backend_pid} (shop, login {database.user}" in held.value.message
        assert "database.runRole" in held.value.message
        assert read_attempts(ledger, RUN)[0].state == "open"
        said = replace(ended, order=an_order(attempt=2, resolution=resolved("FenceProven")))
        assert fence_run(said, RUN) == "FenceProven"


def test_a_session_under_another_name_that_ends_its_work_is_the_applications(database, ledger):
    an_attempt(ledger, tool=True)
    with at_work(database, 0.5) as other, database.connect(application_name="shop") as idle:
        assert fence_run(fence_of(database, ledger, ended=(f"Migrate/1@{POD}",)), RUN) == "Kubelet"
        for session in (other, idle):
            assert session.execute("select 1").fetchone() == (1,)


def test_a_session_that_is_older_than_the_attempt_is_not_the_tools(database, ledger):
    with at_work(database, 60):
        an_attempt(ledger, tool=True)
        fence = fence_of(database, ledger, ended=(f"Migrate/1@{POD}",))
        assert fence_run(fence, RUN) == "Kubelet"


def test_a_pooler_may_have_given_the_tool_an_older_session(database, monkeypatch):
    monkeypatch.setattr(strangers, "PATIENCE", 0.2)
    asleep = "select backend_start < (select opened_at from whimbrel.attempt)"
    asleep += " from pg_stat_activity where wait_event = 'PgSleep'"
    with running_pgbouncer(database, "session", 20) as pooled:
        with pooled.connect() as first, pooled.connect() as second:
            for session in (first, second):
                session.execute("select 1")  # only now the pooler opens one of the server's
        with a_ledger(pooled) as ledger, pooled.connect(application_name="shop") as other:
            an_attempt(ledger, tool=True)
            working, _ = in_a_thread(lambda: other.execute("select pg_sleep(60)"))
            until(lambda: database.run(asleep) == [(True,)])
            with pytest.raises(HeldError, match="shop"):
                fence_run(fence_of(pooled, ledger, ended=(f"Migrate/1@{POD}",)), RUN)
            other.cancel()
            working.join()


def test_a_tool_that_is_recorded_while_the_fence_works_needs_a_proof_of_its_own(
    database, ledger, monkeypatch
):
    """A worker that was about to start it, and not known yet for one with a tool."""
    recorded = []

    def raise_late(raised):
        if not recorded:
            with a_session(database, "run-9") as worker:
                record_tool(Ledger(worker, "whimbrel"), an_order())
            recorded.append(raised)
        return raise_epoch(raised)

    monkeypatch.setattr(fences, "raise_epoch", raise_late)
    an_attempt(ledger)
    with pytest.raises(HeldError) as held:
        fence_run(fence_of(database, ledger), RUN)
    assert held.value.reason == "FenceUnproven"
    assert read_attempts(ledger, RUN)[0].state == "open"
    ended = fence_of(database, ledger, ended=(f"Migrate/1@{POD}",))
    assert fence_run(ended, RUN) == "Kubelet"


@pytest.mark.parametrize("server", ["database", "mariadb"])
def test_an_attempt_that_is_over_starts_no_tool(request, server):
    place = request.getfixturevalue(server)
    with closing(open_session(target_of(place), manners())) as session:
        ledger = Ledger(session, "whimbrel")
        install_ledger(ledger)
        an_attempt(ledger, tool=True)
        record_tool(ledger, an_order())  # the second start of one attempt
        mark_fenced(ledger, read_attempts(ledger, RUN)[0], "Epoch")
        with pytest.raises(TransientError) as over:
            record_tool(ledger, an_order())
        assert over.value.reason == "Superseded"


def test_every_open_attempt_needs_its_own_proof(database, ledger):
    an_attempt(ledger)
    open_attempt(ledger, an_order(attempt=2), name=NAME)
    record_tool(ledger, an_order(attempt=2))
    with pytest.raises(HeldError):
        fence_run(Fence(ledger, target_of(database), an_order(attempt=3)), RUN)
    ended = an_order(attempt=3, ended=(f"Migrate/2@{POD}",))
    assert fence_run(Fence(ledger, target_of(database), ended), RUN) == "Kubelet"
    assert [each.fence for each in read_attempts(ledger, RUN)] == ["Epoch", "Kubelet"]


SLEEP = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]


def start_process() -> subprocess.Popen:
    started = subprocess.Popen(
        SLEEP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    started.stdout.readline()
    return started


def end_process(process: subprocess.Popen) -> None:
    process.stdin.close()
    process.wait()
    process.stdout.close()


def process_of(pid: int) -> Process:
    here = this_process()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return replace(here, pid=pid, start=int(fields[19]))


def test_a_process_of_this_machine_is_proven_to_be_gone():
    running = start_process()
    process = process_of(running.pid)
    try:
        assert not process_is_gone(process)
        assert process_is_gone(replace(process, start=process.start - 1))  # its pid was used again
    finally:
        end_process(running)
    assert process_is_gone(process)


@pytest.mark.parametrize("field", ["host", "boot_id"])
def test_a_process_of_another_machine_is_not_known(field):
    process = replace(this_process(), pid=2**22 + 5, start=7)
    assert process_is_gone(process)
    assert not process_is_gone(replace(process, **{field: "another"}))


def test_whatever_carries_the_attempts_mark_must_be_gone_too(database, ledger):
    """A tool's grandchild that went away from its group and session still has its environment."""
    an_attempt(ledger, tool=True)
    ledger.rows("update {s}.attempt set pid = 4194400, pid_start = 5")
    marked = subprocess.Popen(["sleep", "60"], env={"PGAPPNAME": NAME}, start_new_session=True)
    try:
        with pytest.raises(HeldError):
            fence_run(fence_of(database, ledger), RUN)
    finally:
        marked.kill()
        marked.wait()
    assert fence_run(fence_of(database, ledger), RUN) == "Process"


def test_a_fence_that_cannot_see_none_is_tried_again_later(database, ledger, monkeypatch):
    """Sessions of another login, which we may not terminate."""
    monkeypatch.setattr(fences, "_ROUNDS", 2)
    monkeypatch.setattr(fences, "_SEE_NONE_SECONDS", 0.1)
    an_attempt(ledger)
    with replace(database, user="postgres", password="postgres").connect(
        application_name=NAME
    ) as theirs:
        ledger.rows("update {s}.attempt set login = 'postgres'")
        with pytest.raises(TransientError) as error:
            fence_run(fence_of(database, ledger), RUN)
        assert error.value.reason == "FenceNotReached"
        assert theirs.execute("select 1").fetchone() == (1,)
    assert read_attempts(ledger, RUN)[0].state == "open"
