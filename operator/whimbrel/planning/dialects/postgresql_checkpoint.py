"""Taking a checkpoint on PostgreSQL, as text: names of its objects; closure, capture, copy.

Everything of a checkpoint stands in the ledger's schema, but for its triggers.
"""

from typing import Final

# It fires before every other AFTER trigger of the table, also before those of foreign keys ("RI_").
# A trigger that fires later and writes the same row again is then captured later too; with a name
# at the end of the alphabet the journal would hold the two writes the wrong way round.
CAPTURE_TRIGGERS: Final = "00_whimbrel_"
TRUNCATE_TRIGGERS: Final = "00_whimbrel_truncate_"
# A login's role that a DBA prepared as owner of the capture function.
PREPARED_CAPTURE_ROLE: Final = "whimbrel_capture"


def journal_name(short: str) -> str:
    """Return the name of a checkpoint's journal."""
    return f"journal_{short}"


def capture_function_name(short: str) -> str:
    """Return the name of the trigger function that writes the journal."""
    return f"capture_{short}"


def clone_name(short: str, number: int) -> str:
    """Return the name of the copy of a covered table."""
    return f"clone_{short}_{number}"


def kept_name(short: str, number: int) -> str:
    """Return the name that a failed table gets when the clone takes its place."""
    return f"kept_{short}_{number}"


def capture_trigger(short: str) -> str:
    """Return the name of the trigger of a covered table that writes the journal."""
    return f"{CAPTURE_TRIGGERS}{short}"


def truncate_trigger(short: str) -> str:
    """Return the name of the trigger of a covered table that refuses TRUNCATE."""
    return f"{TRUNCATE_TRIGGERS}{short}"
