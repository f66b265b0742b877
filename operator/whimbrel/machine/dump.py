"""What the Pod of an attempt has for dumps: the claim, and the image with the programs."""

from typing import Any, Final

from whimbrel.model.dump import DumpOptions
from whimbrel.model.order import Order
from whimbrel.model.plan import WITHOUT_TOOL, Segment
from whimbrel.model.probed import moment_of

Body = dict[str, Any]
_VOLUME: Final = "dump"
_MOUNT: Final = "/whimbrel/dump"  # `pod_surroundings` looks for dumps there
# Of the segments that start no program only this one has to do with files.
_REMOVES: Final = Segment.DISCARD


def dumper_image(order: Order) -> str:
    """Return the image that makes and restores dumps, "" where no program of it runs."""
    asked = _asked(order)
    return "" if asked is None or order.segment in WITHOUT_TOOL else asked.image


def dump_volumes(order: Order) -> list[Body]:
    """Return the claim as a volume, where dumps are made, restored or removed."""
    asked = _asked(order)
    if asked is None:
        return []
    return [{"name": _VOLUME, "persistentVolumeClaim": {"claimName": asked.claim_name}}]


def dump_mounts(order: Order) -> list[Body]:
    """Return where it is mounted: at the same path for the runner and for the programs."""
    return [{"name": _VOLUME, "mountPath": _MOUNT}] if _asked(order) else []


def _asked(order: Order) -> DumpOptions | None:
    checkpoint, segment = order.spec.checkpoint, order.segment
    if checkpoint is None or moment_of(segment) is not None:
        return None
    return checkpoint.dump if segment not in WITHOUT_TOOL or segment is _REMOVES else None
