"""The one place that knows which foreign tools there are."""

from collections.abc import Mapping
from typing import Final

from whimbrel.model.spec import Tool
from whimbrel.planning.tools.alembic import ALEMBIC
from whimbrel.planning.tools.django import DJANGO
from whimbrel.planning.tools.foreign import ForeignTool

_TOOLS: Final[Mapping[Tool, ForeignTool]] = {each.tool: each for each in (ALEMBIC, DJANGO)}


def foreign_tool(tool: Tool) -> ForeignTool:
    """Return what is known of a tool that runs in the user's image."""
    return _TOOLS[tool]
