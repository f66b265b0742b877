"""One round on MariaDB: an application that writes, a migration that goes wrong, the way back."""

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pymysql

from tests.loss.mariadb.engine import Assignment
from tests.loss.mariadb.judge import judge, judge_errors
from tests.loss.mariadb.migrations import Migration
from tests.loss.mariadb.shop import COLUMNS, TABLES, WRITERS, Shop, definitions, read
from tests.loss.mariadb.writers import Writer
from tests.proxy import Moment, Proxy, Strike

ROOT = Path(__file__).parents[3]
PATIENCE = 120.0
WRITES = 30  # of each writer in each phase
_GUESS = {"open": 160, "restore": 280, "discard": 40}  # requests of a part, until counted


class EngineError(Exception):
    """The engine did not come to the end that was expected."""


@dataclass
class Driven:
    """The real engine, killed so many times in each part at the most."""

    draw: random.Random
    kills: int = 0
    mutant: str = ""
    made: list[tuple[str, str, int]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def part(self, part: str, shop: Shop) -> dict[str, Any]:
        """Carry a part to its end, killed and begun again."""
        told = Assignment(shop.deploy.url, part, shop.deploy.user, TABLES, self.mutant)
        left, end = self.draw.randint(0, self.kills), time.monotonic() + PATIENCE
        ended: list[Any] = []
        while time.monotonic() < end:
            struck, answer = self._once(told, shop, hit=left > 0)
            left -= struck
            if answer["end"] == "held" and "rows of logs refer to rows of accounts" in str(answer):
                ended += end_orphans(shop)  # as the sentence asks
            elif not struck and answer["end"] != "again":
                break
        if answer["end"] != "done":
            raise EngineError(f"{part}: {answer}")
        self.said += answer["said"]
        return answer | {"conflicts": [*answer.get("conflicts", ()), *ended]}

    def _once(self, told: Assignment, shop: Shop, *, hit: bool) -> tuple[bool, dict[str, Any]]:
        kill, moment = self.draw.random() < 0.6, self.draw.choice(list(Moment))
        at = self.draw.randint(1, _GUESS[told.part])
        with Proxy(shop.deploy.port, speaks_mysql=True) as proxy:
            url = told.url.replace(f":{shop.deploy.port}/", f":{proxy.port}/")
            through = Assignment(url, told.part, told.login, told.tables, told.mutant)
            words = [sys.executable, "-m", "tests.loss.mariadb.engine", through.text()]
            environment = os.environ | {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"}
            process = subprocess.Popen(
                words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
            )
            blow = process.kill if kill else (lambda: None)
            if hit:
                proxy.strike = Strike(at, moment, blow)
            try:
                out, _ = process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
                process.wait()
            struck = proxy.struck.is_set()
        end_sessions(shop)
        if struck:
            self.made.append((told.part, moment.value, at))
            return True, {"end": "struck"}
        _GUESS[told.part] = max(20, proxy.requests)
        if not out.strip():
            raise EngineError(f"{told.part}: it died")
        return False, json.loads(out)


def end_orphans(shop: Shop) -> list[Any]:
    """Delete rows of a table that is not covered, as a person would; return them as conflicts."""
    asked = "SELECT id, of FROM logs WHERE of NOT IN (SELECT id FROM accounts)"
    found = shop.deploy.run(asked)
    for key, _ in found:
        shop.deploy.run("DELETE FROM logs WHERE id = %s", key)
    return [("logs", {"id": str(key)}, "NoParent", "", json.dumps({"of": of})) for key, of in found]


def end_sessions(shop: Shop) -> None:
    """Do what the fence does before a next attempt: nothing of the earlier one is left."""
    asked = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = %s"
    end = time.monotonic() + 30
    while found := shop.admin.run(asked, shop.deploy.user):
        for (number,) in found:
            with contextlib.suppress(pymysql.MySQLError):
                shop.admin.run(f"KILL {number}")
        assert time.monotonic() < end, "sessions of the engine do not end"


class Application:
    """All writers, and somebody who ends their connections now and then."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop, self.draw = shop, random.Random(seed)
        self.writers = [Writer(shop, number, seed) for number in range(WRITERS)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._disturb)

    def __enter__(self) -> Self:
        for each in self.writers:
            each.thread.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self.writers:
            each.over.set()
        for each in self.writers:
            each.thread.join()
        self._thread.join()

    def _disturb(self) -> None:
        asked = (
            "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = %s ORDER BY RAND() LIMIT 1"
        )
        while not self._over.wait(self.draw.uniform(0.1, 0.6)):
            with contextlib.suppress(pymysql.MySQLError):
                for (number,) in self.shop.admin.run(asked, self.shop.app.user):
                    self.shop.admin.run(f"KILL {number}")

    def phase(self, name: str, *, extra: str = "", seconds: float = 8.0) -> None:
        """Begin a phase, and wait until everybody has written in it."""
        for each in self.writers:
            each.phase, each.extra = name, extra
        end = time.monotonic() + seconds
        while any(each.told[name] < WRITES for each in self.writers):
            if time.monotonic() > end:
                break
            time.sleep(0.02)  # between two looks


@dataclass
class Round:
    """How a round went."""

    migration: Migration
    faults: list[str]
    told: Counter
    errors: Counter
    said: list[str]

    def __str__(self) -> str:
        """Say all that a report needs."""
        return (
            f"{self.migration.labels}, refused {self.migration.refused}, told {dict(self.told)},"
            f" errors {dict(self.errors)}, {self.said[-3:]}\n  " + "\n  ".join(self.faults[:20])
        )


def play(shop: Shop, engine: Driven, migration: Migration, seed: int) -> Round:
    """Play a round and judge it."""
    before, base = definitions(shop), {table: read(shop, table) for table in COLUMNS}
    with Application(shop, seed) as application:
        application.phase("before")
        engine.part("open", shop)
        application.phase("opened")
        application.phase("migrating", seconds=0)
        migration.run(shop)
        application.phase("migrated", extra=migration.extra)
        application.phase("restoring", extra=migration.extra, seconds=0.2)
        conflicts = engine.part("restore", shop)["conflicts"]
        application.phase("restored")
    told: Counter = sum((each.told for each in application.writers), Counter())
    errors: Counter = sum((each.errors for each in application.writers), Counter())
    faults = list(judge(shop, application.writers, base, conflicts))
    after = definitions(shop)
    faults += [
        f"defined: {after[each]} and not {before[each]}"
        for each in after
        if after[each] != before[each]
    ]
    was_killed = any(part == "restore" for part, *_ in engine.made)
    faults += judge_errors(errors, set(migration.labels), was_killed=was_killed)
    engine.part("discard", shop)
    faults += [f"left: {each}" for each in traces(shop)]
    return Round(migration, faults, told, errors, engine.said)


def traces(shop: Shop) -> list[str]:
    """Return what is left of checkpoints, besides their rows in the ledger."""
    tables = [name for (name,) in shop.deploy.run("SHOW TABLES")]
    triggers = [row[0] for row in shop.deploy.run("SHOW TRIGGERS")]
    kinds = ("_journal_", "_clone_", "_kept_", "_capture_", "_go_", "_await_")
    return [each for each in (*tables, *triggers) if any(kind in each for kind in kinds)]
