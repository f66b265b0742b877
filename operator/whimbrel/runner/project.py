"""What the project holds, read before anything is locked: SQL files, or the image's revisions."""

from collections.abc import Callable
from typing import Final

from whimbrel.model.errors import TransientError
from whimbrel.model.order import Order
from whimbrel.model.plan import Segment
from whimbrel.planning.build import Source
from whimbrel.runner.run_tool import ToolPlace, read_project
from whimbrel.runner.sessions import Manners
from whimbrel.runner.surroundings import Surroundings
from whimbrel.runner.target import render_url

# What the project opens of its own accord while it is loaded; a look writes nothing.
_READ_ONLY: Final = "-c default_transaction_read_only=on"


def read_source(
    order: Order, place: Surroundings, clean: Callable[[str], str], manners: Manners
) -> Source:
    """Return file texts by name, or the project that the tool's image holds.

    Raises:
        RefusedError: The image or the project cannot be used.
        TransientError: The tool's container is not there.
    """
    if place.files is not None:
        return place.files
    if order.segment is Segment.ABORT:
        return {}
    return read_project(reading_place(order, place, clean, manners))


def reading_place(
    order: Order, place: Surroundings, clean: Callable[[str], str], manners: Manners
) -> ToolPlace:
    """Return where the tool reads its project; it opens no session there.

    Raises:
        TransientError: The tool's container is not there.
    """
    if place.tool is None:
        raise TransientError("ToolNotThere", "the tool's container is not there")
    scheme = order.spec.migrations.database_url.scheme
    name = manners.application_name  # its processes carry it, though it should open no session
    url = render_url(place.target, scheme, options=_READ_ONLY, application_name=name)
    return ToolPlace(place.tool, order.spec, url, name, _READ_ONLY, clean, place.report)
