"""A release is taken back by GitOps: the object names the older image again, and a lower target."""

import shutil
from pathlib import Path

import pytest

from tests.cluster.kube import ROOT, Namespace
from tests.cluster.one_node import provide_image
from tests.cluster.test_alembic_stories import at, project

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The example's image before its newest migration was written."""
    context = Path(tmp_path_factory.mktemp("older") / "alembic")
    shutil.copytree(ROOT / "examples/tools/alembic", context)
    (context / "migrations/versions/0003_email_is_unique.py").unlink()
    return provide_image(context, "whimbrel-example-alembic:0")


@pytest.mark.sampled("a tool on the cluster")
def test_a_lower_target_goes_back_in_the_image_that_has_the_newer_revision(
    shop: Namespace, alembic: str, older: str
):
    shop.apply(project(alembic))
    shop.at_revision("shop", "0003")
    shop.apply(project(older))
    shop.wait("shop")
    assert shop.condition("shop", "Ready")["reason"] == "DatabaseAhead"
    shop.apply(project(older, to="0001"))
    shop.at_revision("shop", "0001")
    assert at(shop) == "0001"
    pods = sorted(shop.get("pods")["items"], key=lambda pod: pod["metadata"]["creationTimestamp"])
    images = [each["spec"]["containers"][1]["image"].rpartition(":")[2] for each in pods]
    assert images[-2:] == ["0", "1"], "asked first, then taken back where the way back stands"
    # The older image knows what is applied now, and goes up to its own newest.
    shop.apply(project(older))
    shop.at_revision("shop", "0002")
