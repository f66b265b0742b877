"""Django 6, which needs Python 3.12: a virtual environment of its own, where that can be had.

`python -m tests.django_six` makes what is missing; `make soak` does so. Where no such interpreter
is found, the matrix says that nothing was run.
"""

import logging
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.maven_postgres import BASE

log = logging.getLogger(__name__)
HOME: Final = BASE / "whimbrel/django-6"
_MINORS: Final = (14, 13, 12)
_PACKAGES: Final = ("django>=6,<7", "psycopg[binary]>=3.2", "pymysql>=1.1")
_IS_ONE: Final = "import sys; sys.exit(sys.version_info < (3, 12))"


def find_interpreter() -> str | None:
    """Return a Python that is new enough: of PATH, or one that pyenv keeps beside it."""
    names = [f"python3.{minor}" for minor in _MINORS]
    found = [path for each in names if (path := shutil.which(each))]
    if pyenv := shutil.which("pyenv"):
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=True)
        kept = Path(root.stdout.strip(), "versions")
        found += [str(path) for each in names for path in sorted(kept.glob(f"*/bin/{each}"))]
    return next(filter(_is_new_enough, found), None)


def _is_new_enough(python: str) -> bool:
    """Ask it: one of pyenv's shims may be on PATH, and answers that there is none."""
    return subprocess.run([python, "-c", _IS_ONE], check=False, capture_output=True).returncode == 0


def make() -> None:
    """Make it where it is missing and can be had."""
    python = find_interpreter()
    if HOME.exists() or python is None:
        log.warning("Django 6: %s", "is there" if python else "no Python 3.12, it is not run")
        return
    HOME.parent.mkdir(parents=True, exist_ok=True)
    partial = HOME.with_name(f"{HOME.name}.{os.getpid()}")
    subprocess.run([python, "-m", "venv", str(partial)], check=True)
    quiet = ["--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [f"{partial}/bin/python", "-m", "pip", "install", *quiet, *_PACKAGES], check=True
    )
    partial.rename(HOME)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    make()
