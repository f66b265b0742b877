"""What the project holds, read before anything is locked: SQL files, or the image's revisions."""

from collections.abc import Callable

from whimbrel.model.errors import TransientError
from whimbrel.model.order import Order
from whimbrel.model.plan import WITHOUT_TOOL
from whimbrel.planning.build import Source
from whimbrel.planning.tools.foreign import scheme_for
from whimbrel.planning.tools.registry import foreign_tool
from whimbrel.runner.run_tool import ToolPlace, read_project
from whimbrel.runner.servers import server_of
from whimbrel.runner.session import Manners
from whimbrel.runner.surroundings import Surroundings


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
    if order.segment in WITHOUT_TOOL:
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
    # What the project opens of its own accord while it is loaded must not write.
    kind, spec = server_of(place.target), order.spec
    scheme = scheme_for(foreign_tool(spec.migrations.tool), spec, place.target.server)
    name = manners.application_name  # its processes carry it, though it should open no session
    url = kind.render(place.target, scheme, options=kind.read_only, application_name=name)
    inherited = kind.read_only if kind.in_environment else ""
    return ToolPlace(place.tool, spec, url, name, inherited, clean, place.report)
