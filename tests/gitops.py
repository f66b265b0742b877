"""The rules by which kstatus, Flux's checker and Argo CD judge a status, to test ours with."""

from pathlib import Path
from typing import Any

from lupa import lua51

Body = dict[str, Any]
SCRIPT = Path(__file__).parents[1] / "docs/argocd/health.lua"


def kstatus(body: Body) -> str:
    """Port of kstatus Compute for custom resources (cli-utils, pkg/kstatus/status/generic.go)."""
    meta, status = body["metadata"], body.get("status") or {}
    if meta.get("deletionTimestamp"):
        return "Terminating"
    observed = status.get("observedGeneration")
    if observed is not None and observed != meta["generation"]:
        return "InProgress"
    conditions = status.get("conditions") or []
    for each in conditions:
        if each["type"] == "Reconciling" and each["status"] == "True":
            return "InProgress"
        if each["type"] == "Stalled" and each["status"] == "True":
            return "Failed"
    ready = next((each for each in conditions if each["type"] == "Ready"), None)
    return "Current" if ready is None or ready["status"] == "True" else "InProgress"


def flux_complaints(body: Body, *, final: bool = False) -> list[str]:
    """Port of fluxcd/pkg/runtime/conditions/check: what its checker would complain about.

    FAIL0003 is asked of a status at its end alone: before it Ready may be Unknown (FAIL0011).
    """
    status = body["status"]
    found = {each["type"]: each for each in status.get("conditions", ())}
    ready = found.get("Ready", {}).get("status")
    generation = body["metadata"]["generation"]
    busy = [kind for kind in ("Reconciling", "Stalled") if kind in found]
    seen = [each.get("observedGeneration", 0) for each in found.values()]
    reconciles, stalls = (
        found.get(kind, {}).get("status") == "True" for kind in ("Reconciling", "Stalled")
    )
    rules = {
        "FAIL0001": ready == "True" and busy,
        "FAIL0002": ready is None,
        "FAIL0003": final and reconciles and ready != "False",
        "FAIL0004": stalls and ready != "False",
        "FAIL0005": len(busy) == 2,
        "FAIL0006": status["observedGeneration"] > generation,
        "FAIL0007": ready == "True" and status["observedGeneration"] < generation,
        "FAIL0008": ready == "True" and any(each < generation for each in seen),
        "FAIL0009": ready == "True" and any(each != status["observedGeneration"] for each in seen),
        "FAIL0011": ready == "Unknown" and "Reconciling" not in found,
        "WARN0003": any(found[kind]["status"] != "True" for kind in busy),
        "WARN0005": any("observedGeneration" not in each for each in found.values()),
    }
    return [rule for rule, broken in rules.items() if broken]


def argo_health(body: Body) -> str:
    """Run docs/argocd/health.lua as Argo CD does: Lua 5.1 without its libraries."""
    if body["metadata"].get("deletionTimestamp"):
        return "Progressing"  # decided before any script runs (gitops-engine, pkg/health)
    lua = lua51.LuaRuntime(register_eval=False, register_builtins=False)
    table = lua.globals()
    for library in ("io", "string", "math", "debug", "os", "coroutine", "python", "package"):
        table[library] = None
    table["obj"] = lua.table_from(body, recursive=True)
    return str(lua.execute(SCRIPT.read_text())["status"])
