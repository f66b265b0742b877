"""A namespace and a database for each story; the cluster itself comes from `make cluster-up`."""

import itertools
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.kube import PSQL, ROOT, Namespace, kubectl
from tests.cluster.one_node import is_one_node, provide_image
from tests.cluster.release import Release, released

NUMBERS = itertools.count(1)
TAG = uuid.uuid4().hex[:5]
PASSWORD = "secret%40#@word"


@pytest.fixture
def shop() -> Iterator[Namespace]:
    """A fresh namespace with a Secret `db` for a fresh database owned by a plain login."""
    name = f"t{TAG}{next(NUMBERS)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    head = {"apiVersion": "v1", "kind": "Namespace"}
    kubectl(
        "apply", "-f", "-", given=json.dumps(head | {"metadata": {"name": name, "labels": labels}})
    )
    namespace = Namespace(name, name, PSQL)
    make_database(name)
    namespace.secret(password=PASSWORD)
    yield namespace
    kubectl("delete", "namespace", name, "--wait=false", fine=False)


@pytest.fixture(scope="session")
def alembic() -> str:
    """The image of examples/tools/alembic, as its author would build it."""
    return provide_image(ROOT / "examples/tools/alembic", "whimbrel-example-alembic:1")


@pytest.fixture(scope="session")
def django() -> str:
    """The image of examples/tools/django, as its author would build it."""
    return provide_image(ROOT / "examples/tools/django", "whimbrel-example-django:1")


@pytest.fixture(scope="session")
def prisma() -> str:
    """The image of examples/tools/prisma, as its author would build it."""
    return provide_image(ROOT / "examples/tools/prisma", "whimbrel-example-prisma:1")


@pytest.fixture(scope="session")
def sequelize() -> str:
    """The image of examples/tools/sequelize, as its author would build it."""
    return provide_image(ROOT / "examples/tools/sequelize", "whimbrel-example-sequelize:1")


@pytest.fixture(scope="session")
def typeorm() -> str:
    """The image of examples/tools/typeorm, as its author would build it."""
    return provide_image(ROOT / "examples/tools/typeorm", "whimbrel-example-typeorm:1")


@pytest.fixture(scope="session")
def sql() -> str:
    """The image of examples/tools/sql, as its author would build it."""
    return provide_image(ROOT / "examples/tools/sql", "whimbrel-example-sql:1")


@pytest.fixture(scope="session")
def versions() -> tuple[str, ...]:
    """The images of the shop's versions, as its author would build them."""
    tags = {number: f"whimbrel-example-shop:{number}" for number in (1, 2, 3)}
    context = ROOT / "tests/cluster/shop"
    return tuple(provide_image(context, tag, f"VERSION={n}") for n, tag in tags.items())


@pytest.fixture
def release(shop: Namespace, versions: tuple[str, ...], tmp_path: Path) -> Iterator[Release]:
    """A shop with version 1 on blue and all traffic there; the release to version 2 is to come."""
    shop.secret("shop-db", password=PASSWORD)
    with released(shop, "shop-2", tmp_path) as found:
        yield found


@pytest.fixture(scope="session")
def one_node() -> None:
    """Skip where the node's containers and components are out of reach."""
    if not is_one_node():
        pytest.skip("needs the one-node cluster of tests/cluster/node: it kills what runs there")


def make_database(name: str) -> None:
    """Create a login and a database that it owns."""
    statements = (
        f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'",
        f"CREATE DATABASE {name} OWNER {name}",
        f"\\connect {name}",
        f"GRANT ALL ON SCHEMA public TO {name}",
    )
    kubectl(*PSQL, *(word for statement in statements for word in ("-c", statement)))
