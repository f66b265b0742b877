"""The eight cases. Each returns the word of its cell, and fails where Whimbrel was not truthful.

A case asserts what must hold for every tool and database; the word says which of the truthful
ends it was.
"""

from collections.abc import Callable

from tests.matrix.case import Cell, answer

YES = "yes"
AS_BEFORE = "as before"
HALF = "half stays, held"
ONCE = "once"
NOT_STARTED = "yes, not started"
REFUSED = "refused"


def up(cell: Cell) -> str:
    """Everything is applied, and read back."""
    said = cell.go()
    assert said.code == 0, said
    assert answer(said)["revision"] == cell.project.revisions[-1]
    assert cell.server.rows(f"SELECT count(*) FROM {cell.project.table}")[0][0] == 2
    return YES


def fails(cell: Cell) -> str:
    """One in the middle fails in its second statement: what is said of the database is so."""
    first = cell.project.revisions[0]
    assert cell.go(first).code == 0
    before = cell.server.shape()
    cell.project.add("half", ["CREATE TABLE half (n int)", cell.server.broken], ["DROP TABLE half"])
    cell.project.add("more", ["CREATE TABLE more (n int)"], ["DROP TABLE more"])
    said = cell.go()
    told = answer(said)
    assert not cell.server.rows(
        "SELECT 1 FROM information_schema.tables WHERE table_name = 'more'"
    ), said
    if said.code == 1:
        assert cell.server.shape() == before, said
        assert told["revision"] == first, said
        return AS_BEFORE
    assert (said.code, told["outcome"]) == (3, "Held"), said
    assert cell.server.shape() != before, said
    cell.server.rows("DROP TABLE half")
    cell.project.add("half", ["CREATE TABLE half (n int)"], ["DROP TABLE half"])
    mended = cell.retry()
    assert mended.code == 0, mended
    assert answer(mended)["revision"] == cell.project.revisions[-1], mended
    return HALF


def down(cell: Cell) -> str:
    """Back to the first: the schema is what it was there."""
    first = cell.project.revisions[0]
    assert cell.go(first).code == 0
    before = cell.server.shape()
    assert cell.go().code == 0
    assert cell.server.shape() != before
    said = cell.go(first)
    assert said.code == 0, said
    assert answer(said)["revision"] == first, said
    assert cell.server.shape() == before, said
    return YES


def again(cell: Cell) -> str:
    """Up, down, up: the schema is what it was the first time."""
    assert cell.go().code == 0
    there = cell.server.shape()
    assert cell.go(cell.project.revisions[0]).code == 0
    said = cell.go()
    assert said.code == 0, said
    assert cell.server.shape() == there, said
    return YES


def nothing_to_do(cell: Cell) -> str:
    """A second run changes nothing, and does not even start the tool."""
    assert cell.go().code == 0
    cell.record_starts()
    said = cell.go()
    assert (said.code, answer(said)["outcome"]) == (0, "NothingToDo"), said
    assert cell.starts() == 0, said
    cell.project.add("more", ["CREATE TABLE more (n int)"], ["DROP TABLE more"])
    assert cell.go().code == 0
    assert cell.starts() > 0 or not cell.project.interpreters  # the stub does notice a start
    return NOT_STARTED


def two_at_once(cell: Cell) -> str:
    """Two objects for one database: the data step runs once."""
    assert cell.go().code == 0
    cell.server.rows("CREATE TABLE seen (n int)")
    slow = cell.server.slow("INSERT INTO seen SELECT 1", 2)
    cell.project.add("slow", [slow], ["DELETE FROM seen"])
    both = [cell.start(name=name) for name in ("shop", "twin")]
    said = [each.communicate(timeout=90) for each in both]
    codes = sorted(each.returncode for each in both)
    assert codes in ([0, 0], [0, 75]), said
    assert cell.server.rows("SELECT count(*) FROM seen")[0][0] == 1
    return ONCE


def killed(cell: Cell) -> str:
    """SIGKILL inside a statement: the next run proves that it is over, and says what stayed."""
    assert cell.go().code == 0
    before = cell.server.shape()
    cell.server.rows("CREATE TABLE seen (n int)")
    slow = cell.server.slow("INSERT INTO seen SELECT 1", 20)
    cell.project.add("late", ["CREATE TABLE late (n int)", slow], ["DROP TABLE late"])
    running = cell.start()
    cell.server.await_slow()
    running.kill()
    running.communicate()
    quick = ["CREATE TABLE late (n int)", "INSERT INTO seen SELECT 1"]
    cell.project.add("late", quick, ["DROP TABLE late"])
    said = cell.go()
    word = ONCE
    if said.code == 3:
        assert answer(said)["outcome"] == "Held", said
        assert cell.server.shape() != before, said
        cell.server.rows("DROP TABLE late")
        cell.server.rows("DELETE FROM seen")
        said, word = cell.retry(), HALF
    assert said.code == 0, said
    assert answer(said)["revision"] == cell.project.revisions[-1], said
    assert cell.server.rows("SELECT count(*) FROM seen")[0][0] == 1
    return word


def edited(cell: Cell) -> str:
    """The text of an applied migration changes: refused, and the file is named."""
    assert cell.go().code == 0
    name = cell.project.edit(cell.project.revisions[1])
    said = cell.go()
    assert said.code == 2, said
    assert name in said.text, said
    return REFUSED


CASES: dict[str, Callable[[Cell], str]] = {
    "up": up,
    "failing middle migration": fails,
    "down": down,
    "up again": again,
    "second run": nothing_to_do,
    "two at once": two_at_once,
    "SIGKILL in the middle": killed,
    "edited applied migration": edited,
}
