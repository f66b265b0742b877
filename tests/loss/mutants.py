"""Deliberate defects of the engine: the checker must find each of them."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType


@dataclass
class Mutant:
    """A defect.

    Attributes:
        patch: Puts it in place, in the engine's own process; counts what it changes.
        changes: How often it changed something.
    """

    patch: Callable[["Mutant"], None]
    changes: int = 0

    def apply(self) -> None:
        """Put it in place."""
        self.patch(self)


MUTANTS: dict[str, Mutant] = {}
