"""PostgreSQL 14 and 17, which neither Debian 12 nor PyPI has: binaries from Maven Central.

`python -m tests.maven_postgres` fetches what is missing, by the ordinary client `mvn`; `make soak`
does so. Packaged by zonkyio (Apache-2.0), PostgreSQL under its own licence; used by tests only.
"""

import logging
import os
import platform
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)
RELEASES: Final = {14: "14.18.0", 17: "17.5.0"}
# As root the servers run as `nobody`, who must get there.
BASE: Final = Path("/var/cache") if os.geteuid() == 0 else Path.home() / ".cache"
CACHE: Final = BASE / "whimbrel/postgresql"


def bin_dir(version: int) -> Path:
    """Return the folder of initdb, pg_ctl and postgres, there or not."""
    return CACHE / RELEASES[version] / "bin"


def fetch(version: int) -> None:
    """Fetch and unpack a version where it is missing."""
    home = bin_dir(version).parent
    if home.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    log.warning("fetching PostgreSQL %s from Maven Central", RELEASES[version])
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        partial = Path(folder) / "it"
        with zipfile.ZipFile(jar(_artifact(RELEASES[version]), Path(folder))) as found:
            (name,) = [each for each in found.namelist() if each.endswith(".txz")]
            with found.open(name) as packed, tarfile.open(fileobj=packed, mode="r:xz") as archive:
                archive.extractall(partial, filter="tar")
        partial.chmod(0o755)
        partial.rename(home)


def _artifact(release: str) -> str:
    machine = {"x86_64": "amd64", "aarch64": "arm64v8"}[platform.machine()]
    return f"io.zonky.test.postgres:embedded-postgres-binaries-linux-{machine}:{release}:jar"


def jar(artifact: str, folder: Path) -> Path:
    """Fetch an artifact into an empty folder and return its file."""
    words = ("dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}")
    subprocess.run(["mvn", "--batch-mode", "--quiet", *words], check=True)
    (found,) = folder.glob("*.jar")
    return found


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    for each in RELEASES:
        fetch(each)
