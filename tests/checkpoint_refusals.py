"""Like `tests.refusals`, for checkpoints."""

from typing import Any

from tests.refusals import NO_NUL, Refusal

TABLES = (
    "list `tables` with scope Tables, and none with scope Auto, which covers what the migration "
    "touches"
)
SIZE = "write a size such as 512Mi or 1Gi"
USERS = {"name": "users"}
DUMP = {"image": "postgres:17", "claimName": "dumps"}
FROZEN = (
    "writeFreeze makes a dump the way back: write `dump` with image and claimName, or leave it out"
)
OBJECT = (
    "write an object's name: lower-case letters, digits, '-' and '.', with a letter or digit at "
    "both ends"
)


def asked(**checkpoint: Any) -> dict[str, Any]:
    """Return the change that asks for a checkpoint."""
    return {"checkpoint": checkpoint}


CHECKPOINT_REFUSALS = (
    Refusal(
        "a strategy that promises a checkpoint without one",
        {"strategy": {"type": "Checkpoint"}},
        "spec",
        "strategy Checkpoint needs spec.checkpoint: write {} for its defaults",
    ),
    Refusal("scope Tables without any", asked(scope="Tables"), "spec.checkpoint", TABLES),
    Refusal("tables with scope Auto", asked(tables=[USERS]), "spec.checkpoint", TABLES),
    Refusal(
        "a checkpoint that is gone at once",
        asked(keepFor="0h0m"),
        "spec.checkpoint",
        "write a keepFor longer than zero: a checkpoint that is not kept restores nothing",
    ),
    Refusal("a size that is none", asked(maxJournal="1GB"), "spec.checkpoint.maxJournal", SIZE),
    Refusal("no journal", asked(maxJournal="0Gi"), "spec.checkpoint.maxJournal", SIZE),
    Refusal(
        "a table without a name",
        asked(scope="Tables", tables=[{"name": ""}]),
        "spec.checkpoint.tables[0].name",
        NO_NUL,
        "String should have at least 1 character",
    ),
    Refusal("stopped writes without a dump", asked(writeFreeze=True), "spec.checkpoint", FROZEN),
    Refusal(
        "a claim with no name that a claim may have",
        asked(dump=DUMP | {"claimName": "Dumps/1"}),
        "spec.checkpoint.dump.claimName",
        OBJECT,
    ),
    Refusal(
        "an image with a space in its name",
        asked(dump=DUMP | {"image": "postgres: 17"}),
        "spec.checkpoint.dump.image",
        "write the name of an image, without spaces",
    ),
    Refusal(
        "a column that keeps its name",
        asked(mappings=[{"table": USERS, "from": "mail", "to": "mail"}]),
        "spec.checkpoint.mappings[0]",
        "name two columns that differ in `from` and `to`",
    ),
)
