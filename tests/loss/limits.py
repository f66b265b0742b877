"""Where a checkpoint must say no: each returns what went wrong instead."""

import time
from collections.abc import Callable
from typing import Any

from tests.loss.driving import Driven, EngineError
from tests.loss.shop import Shop, fill

PATIENCE = 30.0


def refusal(engine: Driven, part: str, shop: Shop) -> str:
    """Return the reason for which a part was refused, or "" where it was done."""
    try:
        engine.part(part, shop)
    except EngineError as error:
        reason: str = error.answer.get("reason", "") if error.is_refusal else str(error)
        return reason
    return ""


def expected(engine: Driven, part: str, shop: Shop, *reasons: str) -> list[str]:
    """Return a fault unless a part is refused for one of these reasons."""
    said = refusal(engine, part, shop)
    return [] if said in reasons else [f"{part} is answered by {said!r}, not by {reasons}"]


def ledger(shop: Shop, column: str) -> Any:
    """Return a column of the only checkpoint."""
    ((found,),) = shop.admin.run(f"SELECT {column} FROM whimbrel.checkpoint")
    return found


def journal_rows(shop: Shop) -> int:
    """Return how many writes were captured."""
    ((count,),) = shop.admin.run(f'SELECT count(*) FROM whimbrel."{ledger(shop, "journal")}"')
    return count


def write(shop: Shop, count: int = 1) -> None:
    """Let the application write; it is never refused because of us."""
    with shop.connect(shop.logins.application) as session:
        for _ in range(count):
            text = fill("UPDATE <A> SET blob = %s WHERE id = -1", shop)
            session.execute(text.encode(), [b"x" * 200])


def expires(shop: Shop, engine: Driven) -> list[str]:
    """After its time nothing is captured, and nothing can be restored."""
    engine.asked = {"keep_for": 4.0}
    engine.open(shop)
    end = time.monotonic() + PATIENCE
    while not ledger(shop, "kept_until <= clock_timestamp()"):
        assert time.monotonic() < end, "it never expires"
        time.sleep(0.05)  # between two looks at the server's clock
    before = journal_rows(shop)
    write(shop)
    found = ["it was captured after the expiry"] if journal_rows(shop) != before else []
    return found + expected(engine, "expect", shop, "CheckpointExpired")


def meets_a_later_run(shop: Shop, engine: Driven) -> list[str]:
    """There is one checkpoint at a time: another run does not get one beside it."""
    engine.open(shop)
    engine.asked = {"run": "a later run"}
    return expected(engine, "open", shop, "CheckpointOpen")


def has_a_damaged_copy(shop: Shop, engine: Driven) -> list[str]:
    """A copy that somebody has changed is not restored."""
    engine.open(shop)
    ((clone,),) = shop.admin.run(
        "SELECT clone FROM whimbrel.checkpoint_table WHERE table_name = %s", shop.account.name
    )
    shop.admin.run(f'UPDATE whimbrel."{clone}" SET balance = balance + 1 WHERE id = -3')
    return expected(engine, "restore", shop, "CheckpointDamaged")


def has_a_disabled_trigger(shop: Shop, engine: Driven) -> list[str]:
    """What a migration did while capture was off is not provable, also when it is on again."""
    engine.open(shop)
    trigger = (
        "SELECT tgname FROM pg_trigger WHERE tgname ~ '^..?_whimbrel' AND tgtype & 32 = 0 LIMIT 1"
    )
    ((name,),) = shop.admin.run(trigger)
    with shop.connect(shop.logins.migration) as session:
        session.execute(fill(f'ALTER TABLE <A> DISABLE TRIGGER "{name}"', shop).encode())
        write(shop)
        session.execute(fill(f'ALTER TABLE <A> ENABLE ALWAYS TRIGGER "{name}"', shop).encode())
    found = expected(engine, "expect", shop, "CaptureBroken")
    return found + expected(engine, "restore", shop, "CaptureBroken")


def has_a_full_journal(shop: Shop, engine: Driven) -> list[str]:
    """The application goes on, and a restore that would lose its writes is not made."""
    engine.asked = {"max_journal": 3 * 8192}
    engine.open(shop)
    write(shop, 200)
    found = expected(engine, "expect", shop, "JournalFull")
    return found + expected(engine, "restore", shop, "JournalFull")


# By the mutant that takes the limit away.
LIMITS: dict[str, Callable[[Shop, Driven], list[str]]] = {
    "there is no expiry": expires,
    "a later run is not noticed": meets_a_later_run,
    "a damaged copy is not noticed": has_a_damaged_copy,
    "a disabled trigger is not noticed": has_a_disabled_trigger,
    "a full journal is not noticed": has_a_full_journal,
}
