"""Carries out a plan, step by step, patient with locks and with nothing else."""

import random
import time
from dataclasses import replace
from typing import Final

from whimbrel.model.errors import FailedError, HeldError, TransientError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.steps import Adopt, RunAlone, RunFiles, RunPieces, RunTool, SalvageObjects, Step
from whimbrel.runner.applied_digests import expect_digests
from whimbrel.runner.bench import Bench
from whimbrel.runner.checkpoint.protect import protection
from whimbrel.runner.mariadb_pieces import run_pieces
from whimbrel.runner.mariadb_undo import taken_back
from whimbrel.runner.notes import Kind, forget_note
from whimbrel.runner.postgresql_run_alone import run_alone
from whimbrel.runner.records import finish_step
from whimbrel.runner.resolutions import record_consent
from whimbrel.runner.run_files import run_files
from whimbrel.runner.salvage import run_salvage
from whimbrel.runner.step_failure import SALVAGE_TOO_LARGE, TryAgainError, raise_meaning
from whimbrel.runner.step_work import StepFailedError, Work, adopt_file
from whimbrel.runner.tool_attempt import run_tool_step
from whimbrel.runner.unchanged import distrust_image

PATIENCE: Final = 30.0  # seconds of tries inside one Job; then the controller shows who blocks
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 3.0


def carry_out_plan(plan: RunnerPlan, bench: Bench, facts: Facts) -> None:
    """Carry out every step in order; `findings` grow with each.

    Raises:
        WhimbrelError: A step did not come to its end; its class says what happens next.
    """
    work = bench.work(facts)
    with protection(plan, bench) as expect_protected:
        distrust_image(bench)
        forget_note(work.ledger, Kind.SHAPE)
        if plan.losses:
            _note_consent(bench, "; ".join(plan.losses))
        for number, step in enumerate(plan.steps, start=1):
            bench.place.report(f"step {number} of {len(plan.steps)}: {step.id}")
            _stop_if_told(bench)
            expect_protected()
            _carry_in_its_way(step, bench, work)


def _carry_in_its_way(step: Step, bench: Bench, work: Work) -> None:
    try:
        _carry_patiently(step, bench, work)
    except FailedError as error:
        if not isinstance(step, RunPieces):
            raise
        raise taken_back(step, work, error, bench) from error
    except HeldError as held:
        if held.reason != SALVAGE_TOO_LARGE or not bench.order.spec.rollback.allow_data_loss:
            raise
        _carry_without_salvage(step, bench, work)


def _note_consent(bench: Bench, loss: str) -> None:
    """Say, in the ledger and in status, who allowed a loss, before it happens."""
    consent, ledger = bench.order.spec.rollback.allow_data_loss, bench.holding.ledger
    if consent is None:
        return
    with ledger.session.transaction():
        record_consent(ledger, bench.order, consent)
    bench.findings.warnings.append(
        f"DataLossAllowed: {consent.by} allowed it ({consent.reason}): {loss}"
    )


def _carry_without_salvage(step: Step, bench: Bench, work: Work) -> None:
    """Go on without the copy that does not fit: a person allowed the loss, by name and reason."""
    _note_consent(bench, f"{step.id}: the copy for salvage was too large and was not made")
    if isinstance(step, RunFiles | RunPieces):
        _carry_patiently(replace(step, salvage=()), bench, work)
        return
    with work.ledger.session.transaction():
        work.guard(work.ledger.session)
        finish_step(work.ledger, work.run, step.id)


def _carry_patiently(step: Step, bench: Bench, work: Work) -> None:
    end, pause, tries = time.monotonic() + PATIENCE, _FIRST_PAUSE, 0
    while True:
        tries += 1
        bench.holding.watchdog.forget()
        try:
            _carry(step, bench, work)
        except StepFailedError as failure:
            said = _reason_to_try_again(failure, bench, tries)
        else:
            return
        bench.place.report(f"try {tries}: {said}; trying again")
        late = bench.order.deadline and time.time() > bench.order.deadline
        if late or time.monotonic() + pause > end:
            raise TransientError("Blocked", f"{said}; {tries} tries", retry_after=5.0)
        # Jitter: two migrators that met once should not meet again.
        bench.place.stopping.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
        _stop_if_told(bench)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _reason_to_try_again(failure: StepFailedError, bench: Bench, tries: int) -> str:
    try:
        raise_meaning(failure, bench, tries)
    except TryAgainError as again:
        return again.sighting
    raise failure


def _carry(step: Step, bench: Bench, work: Work) -> None:
    findings = bench.findings
    match step:
        case RunFiles():
            findings.salvage += run_files(step, work).salvage
            findings.applied += len(step.files)
        case RunPieces():
            findings.salvage += run_pieces(step, work).salvage
            findings.applied += 1
        case RunAlone():
            run_alone(step, work)
            findings.applied += 1
        case Adopt():
            _adopt(step, work)
            findings.applied += len(step.files)
        case SalvageObjects():
            findings.salvage += run_salvage(step, work)
        case RunTool():
            expect_digests(step, bench)
            run_tool_step(step, bench)
            findings.applied += 1


def _adopt(step: Adopt, work: Work) -> None:
    with work.ledger.session.transaction():
        work.guard(work.ledger.session)
        for file in step.files:
            adopt_file(work, file)
        finish_step(work.ledger, work.run, step.id)


def _stop_if_told(bench: Bench) -> None:
    if bench.place.stopping.is_set():
        raise TransientError("Stopped", "stopped on request between two steps", retry_after=1.0)
