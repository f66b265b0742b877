"""A real Prometheus server (Debian's package) on loopback, which scrapes what a test names."""

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.postgres import free_port

PASSWORD = "p%40w@#1"  # with the characters that break careless code
IN_URL = "p%2540w%40%231"
_BCRYPT = "$2b$04$MjM5NxxmkZlP8ELAMlLEgulTPmCtwCDUq6nqX.caKs5OOIx.0vYbC"  # of PASSWORD
_BASIC = base64.b64encode(f"shop:{PASSWORD}".encode()).decode()
SCRAPES = 0.2  # seconds


@dataclass(frozen=True)
class Prometheus:
    """A running server that wants a login."""

    port: int

    @property
    def url(self) -> str:
        """Return the URL as a user would write it."""
        return f"http://shop:{IN_URL}@127.0.0.1:{self.port}"

    def ask(self, query: str) -> list[Any]:
        """Return the result of an instant query."""
        words = urllib.parse.urlencode({"query": query})
        url = f"http://127.0.0.1:{self.port}/api/v1/query?{words}"
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {_BASIC}"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)["data"]["result"]

    def await_value(self, query: str, seconds: float = 30) -> list[Any]:
        """Wait until a query gives anything."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if found := self.ask(query):
                    return found
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.05)  # between two looks at a server that starts, or scrapes
        raise AssertionError(f"{query} gives nothing")


@contextmanager
def running_prometheus(*scraped: int) -> Iterator[Prometheus]:
    """Start a server that scrapes ports of loopback; delete it afterwards."""
    home = Path(tempfile.mkdtemp(prefix="whimbrel-prometheus-"))
    targets = [{"targets": [f"127.0.0.1:{port}" for port in scraped]}]
    times = {"scrape_interval": "200ms", "scrape_timeout": "200ms"}
    config = {"global": times, "scrape_configs": [{"job_name": "shop", "static_configs": targets}]}
    (home / "prometheus.yml").write_text(yaml.safe_dump(config))
    (home / "web.yml").write_text(yaml.safe_dump({"basic_auth_users": {"shop": _BCRYPT}}))
    server = Prometheus(free_port())
    command = [
        "prometheus", f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data",
        f"--web.listen-address=127.0.0.1:{server.port}", f"--web.config.file={home / 'web.yml'}",
        "--log.level=warn",
    ]  # fmt: skip
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=home)
    try:
        server.await_value("vector(1)")
        yield server
        if process.poll() is not None:
            raise RuntimeError((home / "log").read_text()[-4000:])
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(home, ignore_errors=True)
