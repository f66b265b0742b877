"""Django with mysqlclient, compiled once for each Python against MariaDB's library."""

import fcntl
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

import pytest

CACHE: Final = Path.home() / ".cache/whimbrel/python"
PACKAGES: Final = ("django>=5.2,<6", "mysqlclient>=2.2.4")


def django_with_mysqlclient() -> Path:
    """Return a shared environment that holds Django and mysqlclient, and no other driver."""
    home = CACHE / f"mysqlclient-{sys.version_info.major}.{sys.version_info.minor}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:  # released with the file
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            _make(home)
    return home


def _make(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=True)
    words = [home / "bin/python", "-m", "pip", "install", "--quiet", *PACKAGES]
    made = subprocess.run(words, check=False, capture_output=True, text=True)
    if made.returncode != 0:
        pytest.fail(f"mysqlclient cannot be compiled, `make system` installs what it needs: {made}")
    (home / "complete").touch()
