"""What is next in a release: as in `decide`, the first rule that has something to say decides."""

from collections.abc import Callable
from typing import Final

from whimbrel.machine.decisions import Decision
from whimbrel.machine.release.person import (
    checks_were_edited,
    nothing_goes_back,
    person_speaks,
    release_was_suspended,
    switch_waits,
)
from whimbrel.machine.release.probing import moment_goes_on, person_decides
from whimbrel.machine.release.soak import soak_is_measured
from whimbrel.machine.release.traffic import (
    service_has_no_side,
    switch_back_goes_on,
    switch_goes_on,
    traffic_holds,
)
from whimbrel.machine.release.workloads import (
    blue_is_too_small,
    drain_goes_on,
    new_version_is_back,
    prepare_goes_on,
    rollout_goes_on,
)
from whimbrel.model.observed import Observed

Rule = Callable[[Observed], Decision | None]


def release_is_told(seen: Observed) -> Decision | None:
    """Do what a person says to a release that goes on."""
    return _first(TOLD, seen)


def release_goes_on(seen: Observed) -> Decision | None:
    """Carry on a release: what the controller does itself, and what it watches meanwhile."""
    return _first(RULES, seen)


def _first(rules: tuple[Rule, ...], seen: Observed) -> Decision | None:
    decisions = (rule(seen) for rule in rules)
    return next((each for each in decisions if each is not None), None)


TOLD: Final[tuple[Rule, ...]] = (
    release_was_suspended,
    nothing_goes_back,
    person_speaks,
    checks_were_edited,
)
RULES: Final[tuple[Rule, ...]] = (
    person_decides,
    soak_is_measured,
    rollout_goes_on,
    service_has_no_side,
    prepare_goes_on,
    switch_waits,
    switch_goes_on,
    blue_is_too_small,
    switch_back_goes_on,
    drain_goes_on,
    new_version_is_back,
    traffic_holds,
    moment_goes_on,
)
