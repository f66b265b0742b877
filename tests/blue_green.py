"""A shop with a blue and a green side in a cluster in memory, and the release between them."""

from typing import Any

from tests.fake_cluster import FakeCluster

Body = dict[str, Any]
BLUE, GREEN = ({"app": "shop", "track": track} for track in ("blue", "green"))


def check(moment: str, **changes: Any) -> Body:
    http = {"service": "shop", "path": "/healthz"}
    return {"name": moment.lower(), "type": "HTTP", "http": http, "when": [moment]} | changes


def blue_green(**changes: Any) -> Body:
    sides = {
        track: {"selector": selector, "workloadRef": {"name": f"shop-{track}"}}
        for track, selector in (("blue", BLUE), ("green", GREEN))
    }
    options = {"activeService": "shop", "drain": "30s", "propagationDelay": "10s"} | sides
    return {
        "strategy": {"type": "BlueGreen", "blueGreen": options | changes},
        "healthChecks": [check(each) for each in ("PostMigrate", "PostSwitch", "Soak")],
        "soak": "40s",
    }


async def deploy(cluster: FakeCluster, selector: Body | None = BLUE, **changes: Any) -> None:
    """Deploy both sides and apply the release; nothing is carried out yet."""
    await cluster.application.deploy("blue")
    await cluster.application.deploy("green")
    await cluster.application.serve(selector)
    await cluster.apply(**(blue_green() | changes))
