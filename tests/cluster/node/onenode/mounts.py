"""Mount points under a folder that is about to be removed."""

from pathlib import Path

from .errors import NodeError
from .shell import run


def mounts_under(folder: Path) -> list[Path]:
    """Return the mount points at or under an absolute path, the innermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # Spaces and the like are written as octal escapes (proc(5)).
        path = Path(line.split()[4].encode().decode("unicode_escape"))
        if path.is_relative_to(folder):
            found.append(path)
    return found[::-1]


def unmount_under(folder: Path) -> None:
    """Unmount everything at or under an absolute path.

    Raises:
        NodeError: something is still mounted; removing the folder would reach into it.
    """
    for path in mounts_under(folder):
        run(["umount", "--lazy", path])
    if remaining := mounts_under(folder):
        raise NodeError(f"still mounted: {', '.join(map(str, remaining))}")
