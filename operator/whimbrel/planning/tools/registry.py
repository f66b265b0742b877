"""The one place that knows which tools there are."""

from collections.abc import Mapping
from typing import Final

from whimbrel.model.spec import Spec, Tool
from whimbrel.planning.file_tool import FileTool
from whimbrel.planning.tools.alembic import ALEMBIC
from whimbrel.planning.tools.django import DJANGO
from whimbrel.planning.tools.foreign import ForeignTool
from whimbrel.planning.tools.prisma import PRISMA
from whimbrel.planning.tools.sequelize import SEQUELIZE
from whimbrel.planning.tools.sql import SQL
from whimbrel.planning.tools.typeorm import TYPEORM

_TOOLS: Final[Mapping[Tool, ForeignTool]] = {
    each.tool: each for each in (ALEMBIC, DJANGO, SEQUELIZE, TYPEORM)
}
_FILE_TOOLS: Final[Mapping[Tool, FileTool]] = {each.tool: each for each in (SQL, PRISMA)}


def foreign_tool(tool: Tool) -> ForeignTool:
    """Return what is known of a tool that runs in the user's image."""
    return _TOOLS[tool]


def file_tool(tool: Tool) -> FileTool:
    """Return what is known of a tool whose files we run."""
    return _FILE_TOOLS[tool]


def project_of(spec: Spec) -> str:
    """Return under which name the ledger keeps the starts of a tool and what files it applied.

    Several projects may share a database, and its default history.
    """
    asked = spec.migrations
    if not asked.tool.is_foreign:
        return asked.history
    place = asked.bookkeeping
    schema, table = (place.schema_name, place.table) if place else ("", "")
    named = table or foreign_tool(asked.tool).books.table
    return f"{asked.history}:{asked.tool}:{schema or ''}.{named}"
