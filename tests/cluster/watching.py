"""Everything that the API server says of an object, from the first word to the last."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from tests.cluster.kube import Namespace, kubectl_command

Body = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """A version of an object.

    Attributes:
        at: When it was seen here, in seconds since the epoch.
    """

    at: float
    body: Body

    @property
    def status(self) -> Body:
        """Return its status, or {}."""
        return self.body.get("status", {})


class Watch:
    """`kubectl get -w`, begun again as often as it ends: an API server may go for a while."""

    def __init__(self, shop: Namespace, kind: str, name: str) -> None:
        words = ("get", kind, f"--field-selector=metadata.name={name}", "-w", "-o", "json")
        self._command = [*kubectl_command(), "-n", shop.name, *words]
        self._stopped = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self.seen: list[Seen] = []

    def run(self) -> None:
        """Keep what comes until told to stop."""
        while not self._stopped.is_set():
            quiet = subprocess.DEVNULL
            with subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=quiet, text=True
            ) as self._process:
                self._keep(self._process.stdout)
            self._stopped.wait(0.5)  # before it is begun again

    def stop(self) -> None:
        """Stop; `seen` stays."""
        self._stopped.set()
        if self._process:
            self._process.terminate()

    def _keep(self, output: IO[str] | None) -> None:
        decoder, text = json.JSONDecoder(), ""
        for line in output or ():
            text += line
            if line.startswith("}"):  # the end of an object, as kubectl indents it
                body, _ = decoder.raw_decode(text)
                self._add(Seen(time.time(), body))
                text = ""

    def _add(self, news: Seen) -> None:
        versions = (each.body["metadata"]["resourceVersion"] for each in self.seen)
        if news.body["metadata"]["resourceVersion"] not in versions:
            self.seen.append(news)


@contextmanager
def watched(shop: Namespace, kind: str, name: str) -> Iterator[list[Seen]]:
    """Give the versions of an object that were seen, in a list that grows."""
    watch = Watch(shop, kind, name)
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    try:
        yield watch.seen
    finally:
        watch.stop()
        thread.join(10)
