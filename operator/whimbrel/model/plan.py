"""The two plans: segments for the controller, steps for the runner."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from whimbrel.model.dump import PlannedDump
from whimbrel.model.steps import (
    CatalogObject,
    Direction,
    RunAlone,
    RunFiles,
    RunPieces,
    RunTool,
    Step,
)


class Segment(StrEnum):
    """A piece of the controller's plan: a Job, a change of a Kubernetes object, or a wait."""

    LOOK = "Look"
    APPROVE = "Approve"
    BASELINE = "Baseline"
    MIGRATE = "Migrate"
    POST_MIGRATE = "PostMigrate"
    ROLLOUT = "Rollout"
    PREPARE = "Prepare"
    PRE_SWITCH = "PreSwitch"
    SWITCH_GATE = "SwitchGate"
    SWITCH = "Switch"
    POST_SWITCH = "PostSwitch"
    SOAK = "Soak"
    FINISH = "Finish"
    SWITCH_BACK = "SwitchBack"
    DRAIN = "Drain"
    ROLLBACK = "Rollback"
    ABORT = "Abort"
    DISCARD = "Discard"


# Segments that read no project and start no tool: they only look and write to the ledger.
WITHOUT_TOOL: Final = frozenset({Segment.FINISH, Segment.ABORT, Segment.DISCARD})


@dataclass(frozen=True)
class RunnerPlan:
    """What will be done in the database.

    Attributes:
        direction: Up or down; up for an empty plan.
        to: Revision that is the last applied one afterwards; "" for none.
        steps: The steps in order; empty when nothing is to be done.
        notes: Sentences for the person who reads the plan (missing downs, unknown effects ...).
        losses: What it destroys and salvage does not cover, as sentences; a person allowed it.
        target: A name for the place it leads to, where `to` is none that can be asked for.
        covered: Tables that a checkpoint keeps before the first step.
        dump: The dump that is made before the first step, or None.
        ahead: True when the database is newer than what was asked for with `to: head`.
    """

    direction: Direction
    to: str
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    ahead: bool = False
    target: str = ""
    covered: tuple[CatalogObject, ...] = ()
    dump: PlannedDump | None = None

    def digest(self) -> str:
        """Return the sha256 (hex) over direction, target, checkpoint and every step's text."""
        parts = [
            self.direction,
            self.to,
            *(text for step in self.steps for text in step_text(step)),
            *(f"checkpoint of {each}" for each in self.covered),
        ]
        if self.dump is not None:
            parts.append(f"dump of {self.dump}")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def step_digests(self) -> tuple[str, ...]:
        """Return the sha256 (hex) of each step's text, in order; of a tool's, piece by piece.

        So what is left of a plan that was carried out in part is an end of its digests.
        """
        texts = (text for step in self.steps for text in _parts(step))
        return tuple(hashlib.sha256(text.encode()).hexdigest() for text in texts)


def _parts(step: Step) -> tuple[str, ...]:
    if isinstance(step, RunTool):
        goal = (step.direction, *step.argv, *sorted(step.revisions))
        return (*step.pieces, "\0".join(goal))
    return ("\0".join(step_text(step)),)


def step_text(step: Step) -> tuple[str, ...]:
    """Return the text of a step that an approval covers and `plan` prints, part by part."""
    match step:
        case RunFiles(id=name, files=files):
            texts = (part for run in files for part in (run.file.name, *_texts(run.statements)))
            return (name, *(str(each) for each in step.salvage), *texts)
        case RunPieces(id=name, file=file, pieces=pieces):
            texts = (each.statement.text for each in pieces)
            return (name, *(str(each) for each in step.salvage), file.name, *texts)
        case RunAlone(id=name, file=file, statement=statement):
            return (name, file.name, statement.text)
        case RunTool(id=name, argv=argv, revisions=revisions):
            return (name, *argv, *revisions)
        case _:
            return (step.id, *_names(step))


def _texts(statements: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(str(getattr(statement, "text", "")) for statement in statements)


def _names(step: Step) -> tuple[str, ...]:
    files = getattr(step, "files", ())
    objects = getattr(step, "objects", ())
    return (*(file.name + ":" + file.checksum for file in files), *(str(each) for each in objects))
