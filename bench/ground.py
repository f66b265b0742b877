"""What every measurement needs: a namespace with a database, and one line about the machine."""

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.conftest import PASSWORD, make_database
from tests.cluster.kube import PSQL, Namespace, kubectl


@contextmanager
def ground(word: str) -> Iterator[tuple[Namespace, str]]:
    """Make a namespace with a Secret `db` for a fresh database; delete it afterwards.

    It is gone with everything in it when this ends: what comes next is measured alone.
    """
    name = f"{word}{uuid.uuid4().hex[:5]}"
    kubectl("create", "namespace", name)
    try:
        make_database(name)
        place = Namespace(name, name, PSQL)
        place.secret(password=PASSWORD)
        yield place, PASSWORD
    finally:
        kubectl("delete", "namespace", name, "--timeout=300s", fine=False)


def machine() -> str:
    """Return cores and load of this machine."""
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return f"{os.cpu_count()} cores, load {load}"


def say(line: str) -> None:
    """Print one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
