"""Projects in Node with their packages from npm, made once for each content, by npm itself."""

import fcntl
import hashlib
import subprocess
import tempfile
from pathlib import Path
from typing import Final

CACHE: Final = Path.home() / ".cache/whimbrel/npm"


def made(project: Path, *scripts: str) -> Path:
    """Return a copy of a project with its packages in node_modules; it is shared, and not to write.

    Args:
        project: A folder with package.json and package-lock.json.
        scripts: Of package.json, run in this order.
    """
    home = CACHE / _digest(project)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:  # released with the file
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            _make(project, scripts, home)
    return home


def _make(project: Path, scripts: tuple[str, ...], home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        partial = Path(folder) / "it"
        for file in _files(project):
            copy = partial / file.relative_to(project)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
        for words in (("ci", "--no-audit", "--no-fund"), *(("run", each) for each in scripts)):
            subprocess.run(["npm", *words], cwd=partial, check=True, capture_output=True)
        partial.rename(home)


def _digest(project: Path) -> str:
    digest = hashlib.sha256()
    for file in _files(project):
        digest.update(f"{file.relative_to(project)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _files(project: Path) -> list[Path]:
    left_out = {"node_modules", "dist"}
    files = (each for each in project.rglob("*") if each.is_file())
    return sorted(each for each in files if not left_out & {*each.relative_to(project).parts})
