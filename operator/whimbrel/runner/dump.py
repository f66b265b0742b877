"""Where dumps are kept, and the programs that make and restore them."""

from dataclasses import dataclass
from pathlib import Path

from whimbrel.model.order import Order
from whimbrel.model.plan import WITHOUT_TOOL
from whimbrel.runner.launcher_tool import LauncherTool
from whimbrel.runner.tool import Tool


@dataclass(frozen=True)
class DumpPlace:
    """A folder that the programs see under the same path as we do.

    Attributes:
        tool: The image or the machine that has the programs; None where only files are looked at.
        folder: Where the dumps are.
    """

    tool: Tool | None
    folder: Path


def asks_for_dump(order: Order) -> bool:
    """Tell whether an object's runs have a place for dumps."""
    asked = order.spec.checkpoint
    return asked is not None and asked.dump is not None


def dumper_of(order: Order, socket: Path) -> LauncherTool | None:
    """Return the container that has the programs, before it said hello; None where none is."""
    runs = asks_for_dump(order) and order.segment not in WITHOUT_TOOL
    return LauncherTool(socket) if runs else None
