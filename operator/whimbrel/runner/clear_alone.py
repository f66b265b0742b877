"""What a run that is aborted left half done outside of any transaction."""

from collections.abc import Sequence

from whimbrel.model.errors import TransientError
from whimbrel.planning.dialects.fates import Fate
from whimbrel.runner.bench import Bench
from whimbrel.runner.checkpoint.manifest import words_of
from whimbrel.runner.effects import Seen, cleared, effect_of
from whimbrel.runner.notes import Kind, forget_note, read_note
from whimbrel.runner.postgresql_session import postgres
from whimbrel.runner.records import forget_step
from whimbrel.runner.server_errors import SERVER_ERRORS, read_error


def clear_started(bench: Bench) -> None:
    """Clear it by what the ledger keeps of it; unlike a run that goes on this gives way to locks.

    Raises:
        TransientError: Something is in the way.
    """
    ledger = bench.holding.ledger
    for (step,) in ledger.rows(words_of(ledger).STARTED_STEPS, bench.order.run):
        words = read_note(ledger, Kind.ALONE, step)
        if words:
            _clear(step, words, bench)


def _clear(step: str, words: Sequence[str], bench: Bench) -> None:
    ledger, what = bench.holding.ledger, ".".join(filter(None, words[1:3]))
    try:
        if cleared(postgres(ledger.session), effect_of(words)).seen is Seen.HALF_DONE:
            bench.findings.warnings.append(f"LeftHalfDone: {what} stays as it is: half done")
            return
        with ledger.session.transaction():
            forget_step(ledger, step)
            forget_note(ledger, Kind.ALONE, step)
    except SERVER_ERRORS as error:
        said = read_error(error)
        told = f"{what} is half done, and clearing it failed: {bench.clean(said.message)}"
        if said.fate is not Fate.PERMANENT:
            raise TransientError("Blocked", told) from error
        bench.findings.warnings.append(f"LeftHalfDone: {told}")
