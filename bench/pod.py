"""What a tool costs behind Whimbrel in a Pod, against a Pod by hand that starts it bare.

usage: python -m bench.pod [ROUNDS]

Both run the same image, the example of a tool with migrations up to ten, from an empty database to
the newest one: `kubectl apply` to Ready=True against `kubectl apply` to the Pod's success. By hand
it is no Job, whose controller takes a second more to see that.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench.ground import ground, machine, say
from bench.overhead import MIGRATIONS, add_migrations, compared
from tests.cluster.conftest import make_database
from tests.cluster.kube import ROOT, SERVICE, Namespace, migration, quoted
from tests.cluster.one_node import provide_image
from tests.matrix.projects.alembic import AlembicProject
from tests.matrix.projects.django import DjangoProject
from tests.matrix.projects.sequelize import SequelizeProject
from tests.matrix.server import PostgresServer
from tests.postgres import Postgres

NUMBERS = count(1)
# A person gives Alembic its URL in a file.
INI = (
    'sed "s|^sqlalchemy.url = .*|sqlalchemy.url = $DATABASE_URL|; s|%(here)s|/app|g" alembic.ini'
    " > /tmp/bare.ini && exec alembic -c /tmp/bare.ini upgrade head"
)
NOBODY = Postgres(16, Path("/nowhere"), 0, "nobody", "", "nobody")  # nothing connects to it
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True)
class Subject:
    """A tool with ten migrations.

    Attributes:
        project: Makes the project in a folder, for a kind of server.
        migrations: Where its migrations are, in the project as in the example's image.
        command: What a person would type in the image.
    """

    tool: str
    project: Callable[[Path, PostgresServer], AlembicProject | DjangoProject | SequelizeProject]
    migrations: str
    scheme: str
    command: tuple[str, ...]

    def image(self) -> str:
        """Build the example's image with ten migrations, and give it to the cluster."""
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            project = self.project(Path(name) / "project", PostgresServer(NOBODY))
            add_migrations(project)
            context = Path(shutil.copytree(ROOT / "examples/tools" / self.tool, f"{name}/context"))
            there = context / self.migrations
            shutil.rmtree(there)
            without = shutil.ignore_patterns("__pycache__")
            shutil.copytree(project.folder / self.migrations, there, ignore=without)
            return provide_image(context, f"whimbrel-bench-{self.tool}:{MIGRATIONS}")


SUBJECTS = (
    Subject("alembic", AlembicProject, "migrations", "postgresql+psycopg", ("sh", "-c", INI)),
    Subject(
        "django",
        DjangoProject,
        "people/migrations",
        "postgresql",
        ("python", "manage.py", "migrate", "--noinput"),
    ),
    Subject(
        "sequelize",
        SequelizeProject,
        "migrations",
        "postgresql",
        ("node", "node_modules/.bin/sequelize-cli", "db:migrate"),
    ),
)


def fresh_database(place: Namespace, password: str) -> str:
    """Make an empty database and a Secret of its name; return it."""
    name = f"{place.name}n{next(NUMBERS)}"
    make_database(name)
    Namespace(place.name, name, place.server).secret(name, password=password)
    return name


def by_whimbrel(place: Namespace, subject: Subject, image: str, password: str) -> float:
    """Return seconds from the start of `kubectl apply` to Ready=True."""
    name = fresh_database(place, password)
    scheme = {"databaseURL": {"scheme": subject.scheme}}
    migrations = {"tool": subject.tool, "image": image, "workingDir": "/app", "history": name}
    body = migration(name, migrations=migrations | scheme)
    body["spec"]["database"] = {"urlFrom": {"secretKeyRef": {"name": name, "key": "url"}}}
    start = time.monotonic()
    place.apply(body)
    place.wait(name, seconds=120)
    return _applied(place, name, time.monotonic() - start)


def by_hand(place: Namespace, subject: Subject, image: str, password: str) -> float:
    """Return seconds from the start of `kubectl apply` to the Pod's success."""
    name = fresh_database(place, password)
    url = f"{subject.scheme}://{name}:{quoted(password)}@{SERVICE}:5432/{name}"
    given = url.replace("%", "%%") if subject.tool == "alembic" else url
    container = {
        "name": "tool",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": subject.command,
        "workingDir": "/app",
        "env": [{"name": "DATABASE_URL", "value": given}],
        "securityContext": RESTRICTED,
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    start = time.monotonic()
    place.kubectl("apply", "-f", "-", given=json.dumps(pod))
    ended = "--for=jsonpath={.status.phase}=Succeeded"
    place.kubectl("wait", ended, f"pod/{name}", "--timeout=120s")
    return _applied(place, name, time.monotonic() - start)


def _applied(place: Namespace, name: str, seconds: float) -> float:
    """Return the seconds, if the newest migration is there."""
    newest = f"SELECT to_regclass('bench{MIGRATIONS}') IS NOT NULL"
    if place.sql(newest, database=name) != "t":
        raise RuntimeError(f"not all was migrated in {name}")
    return seconds


def main(rounds: int) -> None:
    """Measure in turn, so that a drifting machine hits both."""
    say(f"machine: {machine()}; rounds: {rounds}; {MIGRATIONS} migrations")
    for subject in SUBJECTS:
        image = subject.image()
        with ground("pod") as (place, password):
            words = (place, subject, image, password)
            # The first pair warms the page cache.
            pairs = [(by_hand(*words), by_whimbrel(*words)) for _ in range(rounds + 1)][1:]
        say(compared(subject.tool, pairs))
    say(f"machine: {machine()}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
