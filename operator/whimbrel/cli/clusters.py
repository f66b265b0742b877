"""Here or in a cluster? The client library is loaded only when the answer is a cluster."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from whimbrel.cli.manifest import looks_like_file, read_manifest
from whimbrel.cli.options import Consent, Place
from whimbrel.cli.record import Record, find_record


class Cluster(Protocol):
    """The objects of one namespace, and what a person may ask of them."""

    def read(self, name: str) -> dict[str, Any]:
        """Return the object as the API server shows it."""

    def follow(
        self, name: str, seconds: float, tell: Callable[[str], None]
    ) -> Iterator[dict[str, Any]]:
        """Yield the object now and at each change, for some seconds."""

    def waiting_plan(self, name: str) -> str:
        """Return the text of the plan that waits for approval."""

    def approve(self, name: str, token: str) -> str:
        """Approve the plan that waits and return a sentence about it."""

    def roll_back(self, name: str, to: str, consent: Consent) -> str:
        """Ask for a rollback and return a sentence about it."""

    def retry(self, name: str) -> str:
        """Ask for another try and return a sentence about it."""

    def resolve(self, name: str, verdict: str, by: str, reason: str) -> str:
        """Give a person's answer to `Held` and return a sentence about it."""


def acts_locally(place: Place, word: str) -> bool:
    """Return whether a file or a name is worked on here: no cluster named, and known here."""
    return not place.wants_cluster() and (
        looks_like_file(word) or find_record(place.state_dir, place.namespace, word) is not None
    )


def local_record(place: Place, name: str) -> Record | None:
    """Return the record of a name where it is worked on here, else None."""
    if place.wants_cluster():
        return None
    if looks_like_file(name):
        manifest = read_manifest(Path(name))
        namespace = place.namespace or manifest.namespace or "default"
        return find_record(place.state_dir, namespace, manifest.name)
    return find_record(place.state_dir, place.namespace, name)


def connect_cluster(place: Place) -> Cluster:
    """Return the cluster of the kubeconfig.

    Raises:
        RefusedError: There is none.
    """
    # The Kubernetes client alone takes longer to load than everything else together.
    module = importlib.import_module("whimbrel.cli.kubernetes_cluster")
    cluster: Cluster = module.open_cluster(place)
    return cluster
