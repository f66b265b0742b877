"""`whimbrel run`, `checkpoints`, `rollback`, `conflicts`, `gc`: a checkpoint without a cluster."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.checkpoint_runs import DAMAGED
from tests.checkpoint_shop import (
    USERS,
    Writer,
    expect_nothing_lost,
    left_over,
    migrator,
    until,
    writing,
)
from tests.postgres import Postgres
from tests.scenarios.terminal import Terminal


@dataclass(frozen=True)
class Shop:
    database: Postgres
    writer: Writer
    terminal: Terminal

    def manifest(self, **checkpoint: object) -> str:
        strategy = {"type": "Checkpoint"}
        return self.terminal.manifest(DAMAGED, checkpoint=checkpoint, strategy=strategy)


@pytest.fixture
def shop(database: Postgres, tmp_path: Path) -> Iterator[Shop]:
    database.run(USERS)
    terminal = Terminal(tmp_path, migrator(database).url)
    with writing(database) as writer:
        yield Shop(database, writer, terminal)


def test_from_the_plan_to_the_end_of_its_time(shop: Shop):
    file = shop.manifest()
    planned = shop.terminal.type(f"whimbrel plan {file}")
    assert "Checkpoint first: table public.users" in planned.out
    assert "whimbrel conflicts" in planned.out
    assert left_over(shop.database) == []

    assert shop.terminal.type(f"whimbrel run {file}").code == 0
    (kept,) = json.loads(shop.terminal.type(f"whimbrel checkpoints {file} -o json").out)
    assert (kept["object"], kept["state"], kept["restorable"]) == ("team/shop", "Ready", True)
    assert kept["tables"] == ["public.users"]
    table = shop.terminal.type(f"whimbrel checkpoints {file}").out
    assert table.splitlines()[0].split() == [
        "RUN", "OBJECT", "STATE", "KEPT", "UNTIL", "SIZE", "RESTORES", "TABLES"
    ]  # fmt: skip
    assert kept["keptUntil"] in table

    shop.writer.database.run("UPDATE users SET mood = 'sad' WHERE id = 3")
    back = shop.terminal.type(f"whimbrel rollback {file}")
    assert back.code == 0, back
    assert "restored from the checkpoint of run" in back.text
    shop.writer.stop()
    expect_nothing_lost(shop.database, shop.writer)

    (conflict,) = yaml.safe_load(shop.terminal.type(f"whimbrel conflicts {file} -o yaml").out)
    assert (conflict["table"], conflict["key"], conflict["column"], conflict["value"]) == (
        "public.users", {"id": 3}, "mood", "sad"
    )  # fmt: skip
    assert "sad" in shop.terminal.type(f"whimbrel conflicts {file}").out
    after = shop.terminal.type(f"whimbrel checkpoints {file}").out
    assert "Restored" in after
    assert "no: it was restored" in after


@pytest.mark.sampled("what waits for a clock")
def test_gc_drops_what_is_over_and_nothing_before(shop: Shop):
    file = shop.manifest(keepFor="25s")
    assert shop.terminal.type(f"whimbrel run {file}").code == 0
    listed = json.loads(shop.terminal.type(f"whimbrel gc {file} --yes -o json").out)
    assert (listed["removed"], len(listed["kept"])) == ([], 1)

    def is_over() -> bool:
        rows = shop.database.run("SELECT kept_until < now() FROM whimbrel.checkpoint")
        return rows == [(True,)]

    until(is_over)
    said = shop.terminal.type("whimbrel gc --yes")
    assert "removed: checkpoint of run" in said.out
    assert left_over(shop.database) == []
    assert "no checkpoint is kept" in shop.terminal.type(f"whimbrel checkpoints {file}").out


def test_each_object_shows_its_own_conflicts(shop: Shop):
    other = {"001_x.up.sql": "ALTER TABLE users ADD COLUMN temper text"}
    more = {"checkpoint": {}, "migrations": {"history": "other"}}
    ours, theirs = shop.manifest(), shop.terminal.manifest(other, "other", **more)
    for file, written in ((ours, "mood = 'sad'"), (theirs, "temper = 'hot'")):
        assert shop.terminal.type(f"whimbrel run {file}").code == 0
        shop.writer.database.run(f"UPDATE users SET {written} WHERE id = 3")
        assert shop.terminal.type(f"whimbrel rollback {file}").code == 0
    for what, value in (("shop", "sad"), ("other", "hot"), (ours, "sad"), (theirs, "hot")):
        found = json.loads(shop.terminal.type(f"whimbrel conflicts {what} -o json").out)
        assert [each["value"] for each in found] == [value], what


def test_gc_forgets_values_of_a_checkpoint_that_was_closed_before_its_time(shop: Shop):
    file = shop.manifest()
    assert shop.terminal.type(f"whimbrel run {file}").code == 0
    shop.writer.database.run("UPDATE users SET mood = 'sad' WHERE id = 3")
    assert shop.terminal.type(f"whimbrel rollback {file}").code == 0
    shop.database.run("UPDATE whimbrel.checkpoint SET reason = 'as if it were of no use'")
    assert "removed: checkpoint of run" in shop.terminal.type("whimbrel gc --yes").out
    assert "sad" in shop.terminal.type(f"whimbrel conflicts {file}").out, "its time is not over"
    shop.database.run("UPDATE whimbrel.checkpoint SET kept_until = now()")
    assert "1 value(s) that had no place" in shop.terminal.type("whimbrel gc").out
    assert "removed: conflicts of run" in shop.terminal.type("whimbrel gc --yes").out
    assert left_over(shop.database) == []


def test_only_the_database_knows_conflicts(shop: Shop):
    bare = Terminal(shop.terminal.home)
    said = bare.type("whimbrel conflicts somebody --kubeconfig /nowhere")
    assert (said.code, "only the database knows them" in said.err) == (2, True)
