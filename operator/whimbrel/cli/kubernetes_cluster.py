"""Objects in a cluster: a person asks by annotations, the operator answers in status."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import urllib3
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from whimbrel.cli.options import Consent, Place
from whimbrel.machine.names import (
    APPROVE,
    GROUP,
    PLURAL,
    RESOLVE,
    RESOLVE_AT,
    RESOLVE_BY,
    RESOLVE_REASON,
    RETRY,
    ROLLBACK,
    VERSION,
)
from whimbrel.model.errors import FailedError, RefusedError, TransientError
from whimbrel.model.result import Outcome
from whimbrel.model.status import RunState

_TIMEOUT: Final = 15.0  # seconds
_STREAM: Final = 60  # seconds; a connection that died without a word is noticed after them
_PAUSE: Final = 2.0  # seconds between two tries to reach a server that is away
_config: Final[Any] = config  # without types


def open_cluster(place: Place) -> "KubernetesCluster":
    """Return the cluster of --kubeconfig and --context, of KUBECONFIG, or of this Pod.

    Raises:
        RefusedError: There is no kubeconfig that works.
    """
    configuration = client.Configuration()
    configuration.retries = urllib3.Retry(total=1)
    try:
        namespace = _load(place, configuration)
    except (ConfigException, OSError) as error:
        if place.wants_cluster():
            raise RefusedError("NoCluster", f"no such cluster: {error}") from None
        raise RefusedError(
            "NotFound",
            f"nothing of that name is known in {place.state_dir}, and there is no kubeconfig that "
            "names a cluster to ask",
        ) from None
    api = client.ApiClient(configuration)
    return KubernetesCluster(api, place.namespace or namespace)


def _load(place: Place, configuration: client.Configuration) -> str:
    """Fill the configuration and return the namespace of the context."""
    file, context = place.kubeconfig or None, place.context or None
    try:
        _config.load_kube_config(file, context, configuration)
        _, active = _config.list_kube_config_contexts(file)
    except ConfigException:
        if place.wants_cluster():
            raise
        _config.load_incluster_config(configuration)
        return "default"
    if context:
        contexts, _ = _config.list_kube_config_contexts(file)
        active = next(each for each in contexts if each["name"] == context)
    return str(active.get("context", {}).get("namespace") or "default")


class KubernetesCluster:
    """One namespace of a cluster (the protocol is `clusters.Cluster`)."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._objects = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._namespace = namespace

    def read(self, name: str) -> dict[str, Any]:
        """Return the object as the API server shows it."""
        with self._sentences(name):
            found: Any = self._objects.get_namespaced_custom_object(
                GROUP, VERSION, self._namespace, PLURAL, name, _request_timeout=_TIMEOUT
            )
        return dict(found)

    def follow(
        self, name: str, seconds: float, tell: Callable[[str], None]
    ) -> Iterator[dict[str, Any]]:
        """Yield the object now and at each change; a server that is away is waited for.

        Args:
            name: Name of the object.
            seconds: Ends after them.
            tell: Gets a sentence when the server is away, and when it is back.

        Raises:
            RefusedError: There is no such object, or it may not be watched.
            TransientError: The server is away from the start.
            FailedError: The object was deleted meanwhile.
        """
        give_up = time.monotonic() + seconds
        found: dict[str, Any] | None = self.read(name)
        while found is not None:
            yield found
            try:
                yield from self._changes(found, give_up - time.monotonic())
            except TransientError:  # most often just a connection that broke: look again
                time.sleep(_PAUSE)  # a server that ends each stream at once is not stormed
            found = self._again(name, found["metadata"]["uid"], give_up, tell)

    def _changes(self, found: dict[str, Any], left: float) -> Iterator[dict[str, Any]]:
        """Yield what the object becomes until the server ends the stream, as it always does."""
        name, seconds = found["metadata"]["name"], math.ceil(min(_STREAM, max(left, 1.0)))
        words = {
            "field_selector": f"metadata.name={name}",
            "resource_version": found["metadata"]["resourceVersion"],
            "timeout_seconds": seconds,
            "_request_timeout": (_TIMEOUT, seconds + _TIMEOUT),
        }
        kind = (GROUP, VERSION, self._namespace, PLURAL)
        listing = self._objects.list_namespaced_custom_object
        with self._sentences(name):
            for event in watch.Watch().stream(listing, *kind, **words):
                if event and event["type"] == "DELETED":
                    raise _deleted(name, self._namespace)
                if event:
                    yield event["raw_object"]

    def _again(
        self, name: str, uid: str, give_up: float, tell: Callable[[str], None]
    ) -> dict[str, Any] | None:
        """Return the object of before as soon as the server answers; None when time is over."""
        away = False
        while time.monotonic() < give_up:
            try:
                found = self._same(name, uid)
            except TransientError as error:
                if not away:
                    tell(f"{error.message}; asked again every {_PAUSE:.0f} s")
                away = True
                time.sleep(_PAUSE)  # nothing tells when a server is back but asking it
            else:
                if away:
                    tell("the cluster's API server answers again")
                return found
        return None

    def _same(self, name: str, uid: str) -> dict[str, Any]:
        """Return the object of before, not another one of its name."""
        try:
            found = self.read(name)
        except RefusedError as error:
            if error.reason != "NotFound":
                raise
            raise _deleted(name, self._namespace) from None
        if found["metadata"]["uid"] != uid:
            raise _deleted(name, self._namespace)
        return found

    def waiting_plan(self, name: str) -> str:
        """Return the text of the plan that waits for approval."""
        gate = self._gate(name)
        plan = str(gate.get("plan", ""))
        if not plan:
            raise RefusedError("NoPlan", f"the plan of {name} is not shown; see its status")
        with self._sentences(plan):
            shown = self._core.read_namespaced_config_map(
                plan, self._namespace, _request_timeout=_TIMEOUT
            )
        return "\n".join((shown.data or {}).values())

    def approve(self, name: str, token: str) -> str:
        """Approve the plan that waits, with the token that the person saw."""
        expected = str(self._gate(name)["token"])
        if token and token != expected:
            raise RefusedError(
                "OtherPlan", f"the plan that waits is {expected}, not {token}; look at it again"
            )
        self._annotate(name, {APPROVE: expected})
        return f"approved: {expected}; the operator goes on"

    def roll_back(self, name: str, to: str, consent: Consent) -> str:
        """Ask for a rollback: of the newest run by annotation, to a revision by the spec."""
        spec: dict[str, Any] = {}
        if consent.allow_data_loss:
            accepted = {"by": consent.by, "reason": consent.reason}
            spec["rollback"] = {"allowDataLoss": accepted}
        if to:
            spec["migrations"] = {"to": to}
            self._patch(name, {"spec": spec})
            return f"spec.migrations.to is {to} now; say the same in Git, or it comes back"
        annotations = {ROLLBACK: _now()}
        self._patch(name, {"metadata": {"annotations": annotations}, "spec": spec})
        return "rollback of the newest run asked for; the operator carries it out"

    def retry(self, name: str) -> str:
        """Ask for another try."""
        self._annotate(name, {RETRY: _now()})
        return "retry asked for; the operator tries again"

    def resolve(self, name: str, verdict: str, by: str, reason: str) -> str:
        """Answer for the run that is held."""
        run = (self.read(name).get("status") or {}).get("run") or {}
        subject = _subject(name, verdict, run)
        answers = {RESOLVE: f"{verdict}:{subject}", RESOLVE_BY: by, RESOLVE_REASON: reason}
        # The same answer to a second question changes nothing else.
        self._annotate(name, answers | {RESOLVE_AT: _now()})
        return f"{verdict} recorded for run {subject}; the operator goes on"

    def _gate(self, name: str) -> dict[str, Any]:
        gate: dict[str, Any] | None = (self.read(name).get("status") or {}).get("gate")
        if not gate or not gate.get("token"):
            raise RefusedError("NothingWaits", f"no plan of {name} waits for approval")
        return gate

    def _annotate(self, name: str, annotations: dict[str, str]) -> None:
        self._patch(name, {"metadata": {"annotations": annotations}})

    def _patch(self, name: str, change: dict[str, Any]) -> None:
        with self._sentences(name):
            self._objects.patch_namespaced_custom_object(
                GROUP, VERSION, self._namespace, PLURAL, name, change, _request_timeout=_TIMEOUT
            )

    @contextmanager
    def _sentences(self, name: str) -> Iterator[None]:
        """Turn errors of the API into sentences."""
        try:
            yield
        except ApiException as error:
            raise _refusal(error, name, self._namespace) from None
        except urllib3.exceptions.HTTPError:
            raise TransientError(
                "ClusterAway", "the cluster's API server does not answer"
            ) from None


def _subject(name: str, verdict: str, run: dict[str, Any]) -> str:
    """Return the run that the answer speaks of: the holder's, where it is taken over.

    Raises:
        RefusedError: Nobody has asked: the operator would keep the answer for another question.
    """
    taken, last = verdict == "TakeOver", run.get("last", {})
    held = (run.get("state"), last.get("outcome")) == (RunState.CLOSED, Outcome.HELD)
    if not (run.get("holder") if taken else held):
        raise RefusedError(
            "NothingHeld",
            f"no run of {name} {'waits for another one' if taken else 'is held'}, so there is "
            f"nothing to resolve: whimbrel status {name} prints the command where one is needed",
        )
    return str(run["holder"]["run"] if taken else run["id"])


def _refusal(error: ApiException, name: str, namespace: str) -> RefusedError | TransientError:
    match error.status:
        case 404:
            return RefusedError("NotFound", f"there is no {name} in the namespace {namespace}")
        case 401 | 403:
            return RefusedError("Forbidden", f"you may not do that to {namespace}/{name}")
        # Gone: a watch asks for what the server no longer remembers; a fresh look mends that.
        case code if code in (None, 410, 429) or code >= 500:
            return TransientError("ClusterAway", f"the API server answers {code} {error.reason}")
        case _:
            return RefusedError("ApiRefused", f"the API server refuses: {_message(error)}")


def _deleted(name: str, namespace: str) -> FailedError:
    return FailedError(
        "Deleted",
        f"{namespace}/{name} was deleted while it was watched, before its run came to an end",
    )


def _message(error: ApiException) -> str:
    body = str(error.body or "")
    _, found, rest = body.partition('"message":"')
    return rest.partition('","reason"')[0] if found else f"{error.status} {error.reason}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
