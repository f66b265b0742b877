"""A dump on a real claim: pg_dump in an image of its own, writes stopped, and all of it back."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kube import KubectlError, Namespace, kubectl, migration, wait_until

pytestmark = pytest.mark.cluster

POSTGRES = "whimbrel-postgresql:15"  # the image of the server has its programs
FIRST = {
    "001_measures.up.sql": """
CREATE TABLE measures (at date NOT NULL, value int) PARTITION BY RANGE (at);
CREATE TABLE measures_2026 PARTITION OF measures FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO measures SELECT '2026-03-01'::date + n, n FROM generate_series(1, 100) n;
CREATE SEQUENCE verdict;
SELECT nextval('verdict');
"""
}
SECOND = FIRST | {
    "002_tenths.up.sql": "UPDATE measures SET value = value * 10; CREATE TABLE added (n int);"
}
SUM = "SELECT sum(value) FROM measures"
WRITE = "INSERT INTO measures VALUES ('2026-12-24', 1)"
# A number may be taken while writes are stopped: it turns the check red.
RED = {
    "name": "verdict",
    "type": "SQL",
    "when": ["Soak"],
    "interval": "1s",
    "failureThreshold": 2,
    "sql": {
        "query": "SELECT last_value FROM verdict",
        "expect": {"op": "Equal", "value": "1"},
    },
}


@pytest.fixture
def claim(shop: Namespace, one_node: None) -> Iterator[Path]:
    """The folder of the node that is the claim `dumps` of the namespace."""
    folder = Path(tempfile.mkdtemp(prefix="whimbrel-claim-"))
    folder.chmod(0o777)  # fsGroup changes nothing on a hostPath
    size = {"storage": "1Gi"}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"dumps-{shop.name}"},
        "spec": {
            "capacity": size,
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder)},
            "claimRef": {"namespace": shop.name, "name": "dumps"},
        },
    }
    shop.apply(volume)
    shop.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "dumps"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "",
                "resources": {"requests": size},
            },
        }
    )
    yield folder
    kubectl("delete", "pv", f"dumps-{shop.name}", "--wait=false", fine=False)
    shutil.rmtree(folder, ignore_errors=True)


def frozen(files: dict[str, str], **spec: Any) -> dict[str, Any]:
    dump = {"image": POSTGRES, "claimName": "dumps"}
    return migration(files=files, checkpoint={"writeFreeze": True, "dump": dump}, **spec)


@pytest.mark.sampled("a checkpoint on the cluster")
def test_a_red_check_takes_back_what_no_copy_covers_and_no_write_is_lost(
    shop: Namespace, claim: Path
):
    shop.apply(frozen(FIRST))
    shop.at_revision("shop", "001")
    shop.sql(WRITE)
    before = shop.sql(SUM)

    shop.apply(frozen(SECOND, healthChecks=[RED], soak="90s"))
    wait_until("Soaking", lambda: shop.status("shop").get("phase") == "Soaking", seconds=120)
    kept = shop.status("shop")["checkpoint"]
    assert (kept["state"], kept["restorable"]) == ("Ready", True)
    dump = claim / kept["dump"].removeprefix("dumps/")
    assert dump.stat().st_size == kept["bytes"]
    with pytest.raises(KubectlError, match="writes are stopped while the Whimbrel run"):
        shop.sql(WRITE)
    shop.sql("SELECT nextval('verdict')")
    wait_until("RolledBack", lambda: shop.status("shop").get("phase") == "RolledBack", seconds=180)
    told = shop.condition("shop", "Ready")["message"]
    assert "the whole database was restored from the dump" in told
    assert "no write was possible since" in told
    assert (shop.sql(SUM), shop.sql("SELECT to_regclass('added') IS NULL")) == (before, "t")
    shop.sql(WRITE)

    shop.kubectl("delete", "dbm/shop", "--timeout=120s")
    assert not dump.exists()
    assert shop.sql("SELECT count(*) FROM pg_trigger WHERE tgname ~ 'whimbrel'") == "0"
