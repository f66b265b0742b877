"""Drives the engine's process through a round, kills it, and starts it again until it ends."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.loss.engine import NAME, Assignment
from tests.loss.judge import Recorded
from tests.loss.migrations import Migration
from tests.loss.shop import Shop
from tests.proxy import Moment, Proxy, Strike

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0  # seconds for one part with all its tries
_GUESS = {"open": 150, "restore": 250, "discard": 40}  # requests of a part, until one was counted
# What a migration leaves outside of the covered tables is the caller's business.
_LEFT_OUTSIDE = (
    "DROP VIEW IF EXISTS {S}.fresh_view",
    "DROP FUNCTION IF EXISTS {S}.fresh() CASCADE",
    "DROP SCHEMA IF EXISTS elsewhere",
)


class EngineError(Exception):
    """The engine did not come to the end that was expected; its answer is in the text."""

    def __init__(self, part: str, answer: dict[str, Any]) -> None:
        super().__init__(f"{part}: {answer}")
        self.part = part
        self.answer = answer

    @property
    def is_refusal(self) -> bool:
        """Return whether the engine said something, and did not just die."""
        return self.answer.get("end") != "died"


@dataclass(frozen=True)
class Blow:
    """How a process is struck, besides all of its connections being cut."""

    name: str
    strike: Callable[[subprocess.Popen, Shop], None]


def _kill(process: subprocess.Popen, _: Shop) -> None:
    process.kill()


def _cut(_process: subprocess.Popen, _shop: Shop) -> None:
    """Nothing more: the proxy cuts."""


def _end_backends(_: subprocess.Popen, shop: Shop) -> None:
    end_sessions(shop)


BLOWS = (Blow("SIGKILL", _kill), Blow("cut", _cut), Blow("terminated", _end_backends))


def crash(process: subprocess.Popen, shop: Shop) -> None:
    """Let the server crash, and start it again."""
    process.kill()
    shop.admin.pg_ctl("-m", "immediate", "restart")


CRASH = Blow("server crash", crash)


@dataclass
class Driven:
    """The real engine, killed so many times in each part.

    Attributes:
        kills: How often each part is struck, at the most.
        made: The strikes that happened: part, blow, moment, request.
        changes: How often a mutant's patch changed something.
    """

    draw: random.Random
    kills: int = 0
    mutant: str = ""
    blows: tuple[Blow, ...] = BLOWS
    asked: dict[str, Any] = field(default_factory=dict)
    made: list[tuple[str, str, str, int]] = field(default_factory=list)
    changes: int = 0
    migration: Migration | None = None
    tables: tuple[tuple[str, str], ...] = ()

    def open(self, shop: Shop) -> None:
        """Take a checkpoint of all that hangs on the accounts."""
        answer = self.part("open", shop)
        found = sorted(answer["tables"])
        wanted = sorted(f"{each.schema}.{each.name}" for each in shop.covered)
        if found != wanted:
            raise EngineError("open", {"covered": found, "must be": wanted})

    def migrate(self, shop: Shop, migration: Migration) -> None:
        """Run the migration."""
        migration.run(shop)

    def restore(self, shop: Shop) -> list[Recorded]:
        """Go back."""
        answer = self.part("restore", shop)
        roles = {(each.schema, each.name): each for each in shop.covered}
        found = []
        for place, key, kind, column, value in answer["conflicts"]:
            table = roles[tuple(place)]
            named = tuple(str(key[name]) for name in table.key)
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            found.append(Recorded(table.role, named, kind, column, text))
        return found

    def discard(self, shop: Shop) -> None:
        """Take away what is left of the checkpoint."""
        self.part("discard", shop)

    def assignment(self, part: str, shop: Shop) -> Assignment:
        """Return what the process is told."""
        names = shop.words()
        new = self.migration.new if self.migration else None
        mappings = []
        if new is not None and new.mapped:
            for (role, old), name in new.renamed.items():
                table = getattr(shop, role)
                mappings.append((f"{table.schema}.{table.name}", old, name))
        account = shop.account
        plain = Assignment(
            url=shop.database.url,
            part=part,
            run=f"run of {shop.database.dbname}",
            login=shop.logins.migration,
            tables=self.tables or ((account.schema, account.name),),
            mappings=tuple(mappings),
            extra=tuple(each.format(**names) for each in _LEFT_OUTSIDE),
            mutant=self.mutant,
        )
        return replace(plain, **self.asked)

    def part(self, part: str, shop: Shop) -> dict[str, Any]:
        """Carry a part to its end, killed and begun again.

        Raises:
            EngineError: It did not come to its end.
        """
        told, left = self.assignment(part, shop), self.draw.randint(0, self.kills)
        end, answer = time.monotonic() + PATIENCE, {"end": "never started"}
        while time.monotonic() < end:
            struck, answer = self._once(told, shop, hit=left > 0)
            left -= struck
            if not struck and answer["end"] != "again":
                break
        if answer["end"] != "done":
            raise EngineError(part, answer)
        return answer

    def _once(self, told: Assignment, shop: Shop, *, hit: bool) -> tuple[bool, dict[str, Any]]:
        blow, moment = self.draw.choice(self.blows), self.draw.choice(list(Moment))
        at = self.draw.randint(1, _GUESS.get(told.part, 50))
        with Proxy(shop.database.port) as proxy:
            port, through = shop.database.port, f":{proxy.port}/"
            process = start(replace(told, url=told.url.replace(f":{port}/", through)))
            if hit:
                proxy.strike = Strike(at, moment, lambda: blow.strike(process, shop))
            try:
                out, _ = process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
                process.wait()
            struck = proxy.struck.is_set()
        end_sessions(shop)
        if struck:
            self.made.append((told.part, blow.name, moment.value, at))
            return True, {"end": "struck"}
        _GUESS[told.part] = max(20, proxy.requests)
        if not out.strip():
            raise EngineError(told.part, {"end": "died", "code": process.returncode})
        answer = json.loads(out)
        self.changes += answer["changed"]
        return False, answer


def start(told: Assignment) -> subprocess.Popen[str]:
    """Start the engine's process."""
    words = [sys.executable, "-m", "tests.loss.engine", told.text()]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"}
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def end_sessions(shop: Shop) -> None:
    """Do what the fence does before a next attempt: nothing of the earlier one is left."""
    asked = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = %s"
    )
    shop.admin.run(asked, NAME)
