"""Services, workloads and Pods of an application, as their controllers would keep them."""

from typing import Any

from tests.fake_api import FakeApi

Body = dict[str, Any]
NAMESPACE = "shop"
CORE, APPS = f"/api/v1/namespaces/{NAMESPACE}", f"/apis/apps/v1/namespaces/{NAMESPACE}"
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
SERVICE = f"{CORE}/services/shop"


class FakeApplication:
    """A blue and a green Deployment, or StatefulSet, behind one Service.

    Attributes:
        broken: Workloads whose Pods never become ready.
        sides: Every selector that the Service had, in order.
    """

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.broken: set[str] = set()
        self.sides: list[str] = []

    async def deploy(
        self, track: str, replicas: int = 2, image: str = "shop:1", kind: str = "Deployment"
    ) -> None:
        labels = {"app": "shop", "track": track}
        body = {
            "kind": kind,
            "metadata": {"name": f"shop-{track}", "namespace": NAMESPACE},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"spec": {"containers": [{"name": "app", "image": image}]}},
            },
        }
        await self.api.create(f"{APPS}/{kind.lower()}s", body)

    async def serve(self, selector: dict[str, str] | None = None, **marks: str) -> None:
        meta = {
            "name": "shop",
            "namespace": NAMESPACE,
            "annotations": {"whimbrel.dev/managed-by": "shop-schema"} | marks,
        }
        spec = {"selector": selector} if selector else {}
        await self.api.create(f"{CORE}/services", {"metadata": meta, "spec": spec})

    async def step(self) -> bool:
        """Let the controllers catch up; tell whether anything changed."""
        moved = False
        for path, raw in list(self.api.objects.items()):
            if path.startswith(f"{APPS}/"):
                moved |= await self._workload(path, raw)
        for path, raw in list(self.api.objects.items()):
            if path.startswith(f"{CORE}/services/"):
                moved |= await self._service(raw)
        return moved

    async def _workload(self, path: str, raw: Body) -> bool:
        moved = await self._pods(raw)
        wanted = raw["spec"]["replicas"]
        ready = 0 if raw["metadata"]["name"] in self.broken else wanted
        status = {
            "observedGeneration": raw["metadata"]["generation"],
            "replicas": wanted,
            "updatedReplicas": wanted,
            "availableReplicas": ready,
        }
        if raw.get("status") != status:
            self.api.put_status(path, status)
            moved = True
        return moved

    async def _pods(self, raw: Body) -> bool:
        name, wanted = raw["metadata"]["name"], raw["spec"]["replicas"]
        labels = raw["spec"]["selector"]["matchLabels"]
        moved = False
        for number in range(max(wanted, 9)):
            pod = f"{CORE}/pods/{name}-{number}"
            if number < wanted and pod not in self.api.objects:
                meta = {"name": f"{name}-{number}", "namespace": NAMESPACE, "labels": labels}
                await self.api.create(
                    f"{CORE}/pods", {"metadata": meta, "spec": {"containers": []}}
                )
                moved = True
            if number >= wanted and pod in self.api.objects:
                await self.api.delete(pod)
                moved = True
            moved |= self._ready(pod)
        return moved

    def _ready(self, path: str) -> bool:
        """Let the kubelet say whether a Pod is ready; tell whether that is news."""
        pod = self.api.objects.get(path, {})
        said = [{"type": "Ready", "status": str(bool(pod) and not self._is_broken(pod))}]
        if not pod or pod.get("status", {}).get("conditions") == said:
            return False
        self.api.put_status(path, pod.get("status", {}) | {"conditions": said})
        return True

    async def _service(self, raw: Body) -> bool:
        name, selector = raw["metadata"]["name"], raw["spec"].get("selector") or {}
        if name == "shop" and self.sides[-1:] != [selector.get("track", "")]:
            self.sides.append(selector.get("track", ""))
        pods = [
            body
            for path, body in self.api.objects.items()
            if path.startswith(f"{CORE}/pods/") and selector
            if selector.items() <= body["metadata"].get("labels", {}).items()
        ]
        ends = [
            {
                "addresses": [each["metadata"]["name"]],
                "conditions": {"ready": not self._is_broken(each)},
                "targetRef": {"uid": each["metadata"]["uid"]},
            }
            for each in pods
        ]
        path = f"{SLICES}/{name}-x"
        if path not in self.api.objects:
            meta = {"name": f"{name}-x", "labels": {"kubernetes.io/service-name": name}}
            await self.api.create(SLICES, {"metadata": meta, "endpoints": ends})
            return True
        if self.api.objects[path]["endpoints"] == ends:
            return False
        await self.api.patch(path, {"endpoints": ends})
        return True

    def _is_broken(self, pod: Body) -> bool:
        return pod["metadata"]["name"].rpartition("-")[0] in self.broken

    def selector(self) -> Body:
        found: Body = self.api.objects[SERVICE]["spec"].get("selector") or {}
        return found
