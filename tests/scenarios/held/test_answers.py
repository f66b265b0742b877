"""An answer is taken where something was asked, and a gate is answered by a program too."""

import json

import pytest
import yaml

from tests.postgres import Postgres
from tests.scenarios.held.asking import FILES, LOSSY, held, obey
from tests.scenarios.held.test_plan import GATED, WAITS
from tests.scenarios.terminal import Terminal

ANSWER = "--by ada --reason restored"


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        pytest.param("LedgerAccepted", "no run of shop is held", id="the ledger"),
        pytest.param("FenceProven", "no run of shop is held", id="the fence"),
        pytest.param("TakeOver", "no run of shop waits for another one", id="a holder"),
    ],
)
def test_a_run_that_is_done_takes_no_answer(
    terminal: Terminal, database: Postgres, verdict: str, words: str
):
    file = terminal.manifest(FILES)
    assert terminal.type(f"whimbrel run {file}").code == 0
    before = terminal.type("whimbrel status shop").out
    said = terminal.type(f"whimbrel resolve shop --as {verdict} {ANSWER}")
    assert (said.code, said.out, words in said.err) == (2, "", True), said
    assert terminal.type("whimbrel status shop").out == before
    # What was not taken is no answer to what is asked later.
    database.run("UPDATE whimbrel.meta SET epoch = 0")
    held(terminal.type(f"whimbrel run {file}"), "LedgerWentBack")


def test_what_is_held_before_the_gate_is_answered_as_printed(
    terminal: Terminal, database: Postgres
):
    assert terminal.type(f"whimbrel run {terminal.manifest(FILES)}").code == 0
    database.run("UPDATE whimbrel.meta SET epoch = 0")
    said = terminal.type(f"whimbrel run {terminal.manifest(LOSSY, approval=GATED)}")
    held(said, "LedgerWentBack")
    assert "LedgerWentBack" in terminal.type("whimbrel status shop").out
    answered = terminal.type(said.command)
    waiting = terminal.type(answered.command)
    held(waiting, "AwaitingApproval", told=WAITS)
    done = obey(terminal, waiting)
    assert done.code == 0, done
    assert database.run("SELECT to_regclass('more') IS NOT NULL") == [(True,)]


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_a_program_reads_what_waits_and_obeys(terminal: Terminal, database: Postgres, form, read):
    said = terminal.type(f"whimbrel run {terminal.manifest(FILES, approval=GATED)} -o {form}")
    assert said.code == 3, said
    told = read(said.out)
    assert (told["outcome"], told["reason"]) == ("Held", "AwaitingApproval")
    assert told["gate"] == f"Start:{told['planDigest'][:12]}"
    assert told["gate"] in told["command"]
    approved = terminal.type(f"{told['command']} -o {form}")
    done = terminal.type(f"{read(approved.out)['command']} -o {form}")
    assert (done.code, read(done.out)["outcome"]) == (0, "Done"), done
    assert "gate" not in read(done.out)
    assert database.run("SELECT count(*) FROM users") == [(1,)]
