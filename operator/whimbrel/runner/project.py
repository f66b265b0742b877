"""What the project holds, read before anything is locked: SQL files, or the image's revisions."""

import time
from collections.abc import Callable
from typing import Final

from whimbrel.model.errors import TransientError, WhimbrelError
from whimbrel.model.order import Order
from whimbrel.model.plan import WITHOUT_TOOL
from whimbrel.planning.build import Source
from whimbrel.planning.tools.foreign import scheme_for
from whimbrel.planning.tools.registry import foreign_tool
from whimbrel.runner.beside import Beside
from whimbrel.runner.interrupts import STRIKE_AGAIN, end_programs
from whimbrel.runner.run_tool import ToolPlace, read_project
from whimbrel.runner.servers import server_of
from whimbrel.runner.session import Manners
from whimbrel.runner.surroundings import Surroundings

# Seconds; a large project takes 10 where it may use a tenth of a CPU.
READ_LIMIT: Final = 120.0


class _Reading(Beside):
    """Ends the tool that reads its project once a stop is asked for, or the time is over.

    Attributes:
        ended: Why it was ended, or None.
    """

    def __init__(self, place: Surroundings, title: str) -> None:
        super().__init__("reading")
        self.ended: TransientError | None = None
        self._place, self._title, self._limit = place, title, time.monotonic() + READ_LIMIT

    def work(self) -> None:
        """Wait until it has to end; then end it."""
        while self.ended is None and not self.over.wait(STRIKE_AGAIN / 5):
            self.ended = self._reason()
        end_programs(self._place, self.over, lambda: None)

    def _reason(self) -> TransientError | None:
        if self._place.stopping.is_set():
            told = "stopped on request while the project was read; nothing was locked or touched"
            return TransientError("Stopped", told, retry_after=1.0)
        if time.monotonic() < self._limit:
            return None
        return TransientError(
            "ProjectHangs",
            f"{self._title} had not read its project after {READ_LIMIT:.0f} s and was ended; "
            "nothing was locked or touched: what it loads (settings, migrations, what they import) "
            "must not wait for a server or a person",
        )


def read_source(
    order: Order, place: Surroundings, clean: Callable[[str], str], manners: Manners
) -> Source:
    """Return file texts by name, or the project that the tool's image holds.

    Raises:
        RefusedError: The image or the project cannot be used.
        TransientError: The tool's container is not there, or the tool had to be ended.
    """
    if place.refused is not None and order.segment not in WITHOUT_TOOL:
        raise place.refused
    if place.files is not None:
        return place.files
    if order.segment in WITHOUT_TOOL:
        return {}
    where = reading_place(order, place, clean, manners)
    with _Reading(place, foreign_tool(order.spec.migrations.tool).title) as reading:
        try:
            return read_project(where)
        except WhimbrelError as error:
            if reading.ended is None:
                raise
            raise reading.ended from error


def reading_place(
    order: Order, place: Surroundings, clean: Callable[[str], str], manners: Manners
) -> ToolPlace:
    """Return where the tool reads its project; it opens no session there.

    Raises:
        TransientError: The tool's container is not there.
    """
    if place.tool is None:
        raise TransientError("ToolNotThere", "the tool's container is not there")
    # What the project opens of its own accord while it is loaded must not write.
    kind, spec = server_of(place.target), order.spec
    scheme = scheme_for(foreign_tool(spec.migrations.tool), spec, place.target.server)
    name = manners.application_name  # its processes carry it, though it should open no session
    url = kind.render(place.target, scheme, options=kind.read_only, application_name=name)
    inherited = kind.read_only if kind.in_environment else ""
    return ToolPlace(place.tool, spec, url, name, inherited, clean, place.report)
