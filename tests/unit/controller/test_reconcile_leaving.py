"""From event to effect where a holder or the object itself goes away."""

import pytest

from tests.fake_cluster import KEY, PATH, spec
from tests.unit.controller.test_reconcile import applied, finalizers, works
from whimbrel.controller import paths
from whimbrel.controller.act import carry_out
from whimbrel.controller.client import ConflictError
from whimbrel.controller.observe import observe
from whimbrel.machine.decide import decide
from whimbrel.machine.names import FINALIZER
from whimbrel.model.result import Holder


async def test_holder_is_named_and_a_deleted_one_is_taken_over():
    cluster = await applied()
    other = await cluster.api.create(
        paths.migrations(KEY[0]),
        {"metadata": {"name": "other", "namespace": KEY[0]}, "spec": spec()},
    )
    uid = other["metadata"]["uid"]
    cluster.ledger.holder = Holder(
        namespace=KEY[0], name="other", uid=uid, cluster="cluster-1", run="other-run"
    )
    await cluster.run(lambda: cluster.status().get("phase") == "Waiting")
    assert "shop/other" in cluster.status()["message"]
    assert cluster.condition("Reconciling") == "True"
    await cluster.api.delete(paths.migration(KEY[0], "other"))
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"


async def test_holder_in_another_cluster_is_taken_over_by_the_printed_answer():
    cluster = await applied()
    cluster.ledger.holder = Holder(
        namespace="theirs", name="other", uid="u", cluster="cluster-2", run="other-run"
    )
    await cluster.run(lambda: cluster.status().get("phase") == "Waiting")
    said = cluster.status()["message"]
    assert "theirs/other of another cluster (cluster-2)" in said
    command = "whimbrel resolve shop-schema -n shop --as TakeOver --by WHO --reason TEXT"
    assert said.endswith(command)
    holder = cluster.status()["run"]["holder"]["run"]
    await cluster.annotate(resolve=f"TakeOver:{holder}", resolve_at="now")
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"


async def test_holder_in_a_namespace_that_may_not_be_read_can_be_taken_over_too():
    cluster = await applied()
    cluster.ledger.holder = Holder(
        namespace="theirs", name="other", uid="u", cluster="cluster-1", run="other-run"
    )
    cluster.api.forbidden = paths.migrations("theirs")
    await cluster.run(lambda: cluster.status().get("phase") == "Waiting")
    await cluster.turn()
    said = cluster.status()["message"]
    assert "in a namespace that this operator may not read" in said
    assert "whimbrel resolve shop-schema -n shop --as TakeOver" in said
    cluster.ledger.holder = None
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"


async def test_deleted_while_running_is_aborted_and_let_go():
    cluster = await applied()
    cluster.node.hold = True
    await cluster.run(lambda: works(cluster))
    await cluster.api.delete(PATH)
    cluster.node.hold = False
    await cluster.run()
    assert PATH not in cluster.api.objects
    assert cluster.ledger.open_run == ""


async def test_deleted_object_goes_after_five_minutes_and_says_what_is_left():
    cluster = await applied(["busy"] * 100)
    await cluster.run(lambda: cluster.status()["run"]["failures"] == 2)
    await cluster.api.delete(PATH)
    moment = cluster.now
    await cluster.run()
    assert PATH not in cluster.api.objects
    assert 300 <= cluster.now - moment <= 320
    events = [body["reason"] for path, body in cluster.api.objects.items() if "/events/" in path]
    assert "LeftBehind" in events


async def test_deleted_with_rollback_takes_everything_back_first():
    cluster = await applied(deletionPolicy="Rollback")
    await cluster.run()
    assert FINALIZER in finalizers(cluster)
    await cluster.api.delete(PATH)
    await cluster.run()
    assert PATH not in cluster.api.objects
    assert cluster.ledger.done == ["001", "002", "-001", "-002"]


async def test_terminating_namespace_lets_go_at_once():
    cluster = await applied()
    cluster.node.hold = True
    await cluster.run(lambda: works(cluster))
    await cluster.api.delete(paths.namespace(KEY[0]))
    await cluster.api.delete(PATH)
    await cluster.turn()
    assert PATH not in cluster.api.objects


async def test_finalizer_is_not_put_back_by_a_leader_with_an_old_view():
    cluster = await applied()
    await cluster.turn()
    look = await observe(cluster.world, KEY)
    decision = decide(look.seen)
    assert type(decision).__name__ == "AddFinalizer"
    await cluster.run()
    with pytest.raises(ConflictError):
        await carry_out(cluster.world, look, decision)
    assert FINALIZER not in finalizers(cluster)
