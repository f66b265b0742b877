"""Waiting for processes without sleeping: the kernel says when one is dead."""

import os
import select
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def is_dead_within(pid: int, seconds: float) -> bool:
    """Wait for the end of any process, also of one that is no child of ours."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def built_launcher() -> Path:
    """Build the launcher (nothing to do when it is up to date) and return its path."""
    subprocess.run(["make", "-s", "-C", ROOT / "launcher"], check=True, capture_output=True)
    return ROOT / "launcher/whimbrel-launcher"
