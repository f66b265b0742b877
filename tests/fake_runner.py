"""A node whose Jobs are answered by a runner that keeps the rules of the ledger."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tests.fake_api import FakeApi
from whimbrel.machine import names
from whimbrel.machine.segments import PROBES
from whimbrel.machine.timestamps import rfc3339, unix
from whimbrel.model.checkpoint import CheckpointStatus
from whimbrel.model.order import Order
from whimbrel.model.packed import pack_text
from whimbrel.model.plan import Segment
from whimbrel.model.result import (
    MESSAGE_BYTES,
    MESSAGE_LIMIT,
    Holder,
    Outcome,
    Result,
    encode_result,
)
from whimbrel.planning.sql_down import allow_command

Body = dict[str, Any]
DIGEST = "d" * 64


@dataclass
class Ledger:
    """One database: what was applied, how often, and who holds it."""

    pending: tuple[str, ...] = ("001", "002")
    applied: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)  # everything that was ever carried out
    open_run: str = ""
    plan: str = "the plan"
    long_plan: str = ""  # one that does not fit the termination message
    holder: Holder | None = None
    stored: dict[tuple[str, str], Result] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)  # revision before each way up
    targets: dict[str, str] = field(default_factory=dict)  # where the way back of a run leads
    closed: set[str] = field(default_factory=set)  # runs that were held before they did anything
    answers: list[str] = field(default_factory=list)  # attempts that carried a person's answer
    health: dict[str, list[str]] = field(default_factory=dict)  # answers of probes, by moment
    probes: list[str] = field(default_factory=list)  # moments that were measured
    exits: list[int] = field(default_factory=list)  # exit codes of the Jobs of checks, then 0
    measured: list[str] = field(default_factory=list)  # names of those Jobs
    direction: str = "up"
    digest: str = DIGEST
    complete: bool = False  # this very release ended well before
    checkpoint: CheckpointStatus | None = None

    def carry_out(self, order: Order, script: str) -> Result | None:
        """Return the answer of an attempt; None when it vanished without one."""
        key = (order.run, order.attempt_key())
        if key in self.stored:
            return self.stored[key]
        if order.attempt < self.newest.get(order.run, 0):
            return self._result(order, Outcome.NOT_FINISHED, "Superseded")
        self.newest[order.run] = order.attempt
        self.answers += [order.attempt_key()] if order.resolution else []
        result = self._work(order, script)
        if result is not None and result.outcome is not Outcome.NOT_FINISHED:
            self.stored[key] = result
        return result

    def _work(self, order: Order, script: str) -> Result | None:
        if script == "vanish before":
            return None
        if script in ("busy", "away"):
            busy = self._result(order, Outcome.NOT_FINISHED, "DatabaseAway")
            return busy.model_copy(update={} if script == "busy" else {"database_uuid": ""})
        taken = (order.resolution.run,) if order.resolution else ()
        if self.holder is not None and self.holder.run not in (*order.holder_gone, *taken):
            waits = self._result(order, Outcome.NOT_FINISHED, "Waiting")
            return waits.model_copy(update={"holder": self.holder})
        if order.segment in (Segment.LOOK, *PROBES):
            look = order.segment is Segment.LOOK
            return self._look(order) if look else self._probe(order, script)
        unapproved = self._unapproved(order)
        if not unapproved and order.run not in self.closed:
            self.open_run = order.run
            return self._effect(order, script)
        self.closed.add(order.run)
        return self._result(order, Outcome.HELD, unapproved or "RunClosed")

    def _unapproved(self, order: Order) -> str:
        gated = "Start" in order.spec.approval.before and self.direction == "up"
        if order.segment != "Migrate" or not gated or not self._news():
            return ""
        if not order.approved:
            return "NotApproved"
        return "" if order.approved == self.digest else "PlanChanged"

    def _news(self) -> list[str]:
        return [version for version in self.pending if version not in self.applied]

    def _effect(self, order: Order, script: str) -> Result | None:
        if script == "fail":
            return self._end(order, Outcome.FAILED, "MigrationFailed")
        if script == "held" and order.resolution is None:
            return self._result(order, Outcome.HELD, "FenceUnproven")
        others = {"Abort": self._abort, "Discard": self._drop, "Rollback": self._roll_back}
        return others.get(str(order.segment), self._migrate)(order, script)

    def _abort(self, order: Order, _: str) -> Result:
        return self._end(order, Outcome.NOTHING_TO_DO, "Aborted")

    def _migrate(self, order: Order, script: str) -> Result | None:
        news = self._news()
        self.before += [self.applied[-1] if self.applied else ""] if news else []
        self.applied += news
        self.done += news
        self._keep(order, script)
        if script == "rollback failed":
            held = self._result(order, Outcome.HELD, "RollbackFailed")
            return held.model_copy(update={"target": self.before[-1] or "base"})
        if order.segment == "Finish":
            end = self._end(order, Outcome.DONE, "Completed")
        else:
            end = self._end(order, Outcome.DONE if news else Outcome.NOTHING_TO_DO, "Completed")
            goes_on = order.release and not self.complete
            end = end.model_copy(update={"goes_on": goes_on})
            self.open_run = order.run if goes_on else ""
        return None if script == "vanish after" else end

    def _drop(self, order: Order, script: str) -> Result | None:
        if self.checkpoint is not None:
            self.checkpoint = self.checkpoint.model_copy(update={"state": "Closed"})
        end = self._end(order, Outcome.DONE, "Discarded")
        return None if script == "vanish after" else end

    def _keep(self, order: Order, script: str) -> None:
        """Open a checkpoint where one is asked for; the order tells when its run began."""
        asked = order.spec.checkpoint
        if asked is None or order.segment != "Migrate" or script == "vanish before":
            return
        began = order.deadline - order.spec.limits.progress_deadline
        until = rfc3339(began + asked.keep_for)
        self.checkpoint = CheckpointStatus(
            id=order.run, state="Ready", kept_until=until, restorable=True
        )

    def _probe(self, order: Order, script: str) -> Result | None:
        """Answer a probe as the test has said for its moment: a list is used up, then green."""
        self.probes.append(str(order.segment))
        told = self.health.get(str(order.segment), [])
        verdict = told.pop(0) if told else "green"
        if verdict == "red":
            return self._result(order, Outcome.FAILED, "HealthCheckFailed")
        if verdict == "unknown":
            return self._result(order, Outcome.NOT_FINISHED, "HealthCheckUnknown")
        end = self._result(order, Outcome.DONE, "Healthy")
        return None if script == "vanish after" else end

    def _roll_back(self, order: Order, script: str) -> Result | None:
        newest = self.before[-1] if self.before else ""
        target = self.targets.setdefault(order.run, order.to or newest or "base")
        if script == "loses data" and order.spec.rollback.allow_data_loss is None:
            held = self._result(order, Outcome.HELD, "WouldLoseData")
            asked = {"command": allow_command(order.owner())}
            return held.model_copy(update={"target": target} | asked)
        kept = "" if target == "base" else target
        back = [each for each in self.applied if each > kept]
        self.done += [f"-{version}" for version in back]
        self.applied = [each for each in self.applied if each not in back]
        self.before = [each for each in self.before if each < kept]
        end = self._end(order, Outcome.ROLLED_BACK, "RolledBack")
        return None if script == "vanish after" else end

    def _look(self, order: Order) -> Result:
        outcome = Outcome.DONE if self._news() else Outcome.NOTHING_TO_DO
        found = self._result(order, outcome, "Looked")
        goes_on = order.release and not self._news() and not self.complete
        found = found.model_copy(update={"direction": self.direction, "goes_on": goes_on})
        sha256 = hashlib.sha256((self.long_plan or self.plan).encode()).hexdigest()
        plan = "" if self.long_plan else pack_text(self.plan)
        shown = {"plan_digest": self.digest, "plan": plan, "plan_sha256": sha256}
        return found.model_copy(update=shown)

    def _end(self, order: Order, outcome: Outcome, reason: str) -> Result:
        self.open_run = ""
        return self._result(order, outcome, reason)

    def _result(self, order: Order, outcome: Outcome, reason: str) -> Result:
        return Result(
            outcome=outcome,
            run=order.run,
            segment=str(order.segment),
            attempt=order.attempt,
            reason=reason,
            message=f"{reason} in the fake database",
            revision=self.applied[-1] if self.applied else "",
            database="shop",
            database_uuid="uuid-1",
            epoch=1,
            checkpoint=self.checkpoint if order.segment != "Look" else None,
        )


class FakeNode:
    """Job controller and kubelet: each `step` makes the cluster go on by one move.

    Attributes:
        script: What the next attempts do, in order: ok, busy, fail, held, away,
            vanish before, vanish after, loses data, rollback failed. Afterwards ok.
    """

    def __init__(self, api: FakeApi, ledger: Ledger, script: list[str] | None = None) -> None:
        self.api = api
        self.ledger = ledger
        self.script = list(script or [])
        self.image_is_there = True
        self.hold = False
        self.most_at_once = 0

    async def step(self) -> bool:
        """Do one move of one Job; tell whether there was one to do."""
        for path in [p for p in self.api.objects if "/jobs/" in p]:
            if await self._advance(path):
                self._count_working()
                return True
        return False

    async def _advance(self, path: str) -> bool:
        job = self.api.objects[path]
        pod_path = path.replace("/apis/batch/v1", "/api/v1").replace("/jobs/", "/pods/") + "-x"
        pod = self.api.objects.get(pod_path)
        if job.get("status", {}).get("conditions"):
            return False
        if pod is None:
            await self.api.create(pod_path.rpartition("/")[0], _pod(job))
            return True
        state = pod.get("status", {}).get("containerStatuses", [{}])[0].get("state", {})
        return self._kubelet(path, pod_path, state)

    def _kubelet(self, path: str, pod_path: str, state: Body) -> bool:
        if not state or "waiting" in state:
            return self._start(pod_path, state)
        if "running" in state:
            stays = self.hold or self._soaks(path, state)
            return False if stays else self._end(path, pod_path)
        code = state["terminated"]["exitCode"]
        kind = "Complete" if code == 0 else "Failed"
        self.api.put_status(path, {"conditions": [{"type": kind, "status": "True"}]})
        return True

    def _start(self, pod_path: str, state: Body) -> bool:
        if self.image_is_there:
            running = {"running": {"startedAt": self.api.moment()}}
            self.api.put_status(pod_path, _containers(running))
            return True
        if state:
            return False
        waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
        self.api.put_status(pod_path, _containers(waiting))
        return True

    def _soaks(self, path: str, state: Body) -> bool:
        """Tell whether a probe still measures its soak: red and unknown end it at once."""
        text = self._marks(path).get(names.ORDER)
        order = Order.model_validate_json(text) if text else None
        if order is None or not order.soak or self.script:
            return False
        verdict = [*self.ledger.health.get(str(order.segment), []), "green"][0]
        started = unix(state["running"]["startedAt"])
        return verdict == "green" and self.api.clock() < started + order.soak

    def _marks(self, path: str) -> Body:
        marks: Body = self.api.objects[path]["spec"]["template"]["metadata"]["annotations"]
        return marks

    def _end(self, path: str, pod_path: str) -> bool:
        marks = self._marks(path)
        if names.CHECK in marks:
            return self._end_check(path, pod_path)
        text = marks[names.ORDER]
        order = Order.model_validate_json(text)
        result = self.ledger.carry_out(order, self.script.pop(0) if self.script else "ok")
        ended: Body = {"exitCode": 137, "reason": "OOMKilled"}
        if result is not None:
            told = _told(result, self.api.objects[path]["spec"]["template"]["spec"])
            ended = {"exitCode": result.exit_code(), "message": told}
        self.api.put_status(pod_path, _containers({"terminated": ended}))
        return True

    def _end_check(self, path: str, pod_path: str) -> bool:
        self.ledger.measured.append(path.rpartition("/")[2])
        code = self.ledger.exits.pop(0) if self.ledger.exits else 0
        ended = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
        self.api.put_status(pod_path, _containers(ended, "check"))
        return True

    def _count_working(self) -> None:
        states = [
            body["status"]["containerStatuses"][0]["state"]
            for path, body in self.api.objects.items()
            if "/pods/" in path and body.get("status", {}).get("containerStatuses")
            if names.CHECK not in body["metadata"].get("annotations", {})
        ]
        self.most_at_once = max(self.most_at_once, sum("running" in state for state in states))


def _told(result: Result, pod: Body) -> str:
    """What is left of a message: the kubelet divides 12 KiB, and a mesh has put in two more."""
    runner = next(each for each in pod["containers"] if each["name"] == "runner")
    room = {each["name"]: each["value"] for each in runner["env"]}.get(MESSAGE_BYTES)
    containers = len(pod["containers"]) + len(pod.get("initContainers", ())) + 2
    return encode_result(result, int(room or MESSAGE_LIMIT))[: 12_288 // containers]


def _containers(state: Body, name: str = "runner") -> Body:
    return {"containerStatuses": [{"name": name, "image": "whimbrel:1", "state": state}]}


def _pod(job: Body) -> Body:
    template = json.loads(json.dumps(job["spec"]["template"]))
    meta = {
        "name": job["metadata"]["name"] + "-x",
        "namespace": job["metadata"]["namespace"],
        "labels": template["metadata"]["labels"],
        "annotations": template["metadata"]["annotations"],
        "ownerReferences": [{"uid": job["metadata"]["uid"], "controller": True}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
