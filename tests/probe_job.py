"""A probe Job as the controller starts it: the order, and what came out."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.runner_process import Answer, Attempt, RunnerProcess
from whimbrel.model.release.checked import CheckStatus, read_checks_line, unpack_checks
from whimbrel.model.result import encode_result
from whimbrel.runner.mounts import read_order
from whimbrel.runner.probes.__main__ import attempt

# A busy machine may hold a process up for longer than one would think.
PACE = {"interval": "400ms", "timeout": "400ms"}


def check(name: str, kind: str, options: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return one check of spec.healthChecks, quick, at every moment without a switch."""
    moments = ["Baseline", "PostMigrate", "Soak"]
    member = kind.lower()
    return {"name": name, "type": kind, "when": moments, member: options} | PACE | more


def http(name: str, port: int, **more: Any) -> dict[str, Any]:
    """Return an HTTP check of a server on loopback; options of `http` are among `more`."""
    known = ("path", "contains", "host", "scheme", "statusFrom", "statusTo", "service")
    options = {key: more.pop(key) for key in known if key in more}
    return check(name, "HTTP", {"service": "127.0.0.1", "port": port} | options, **more)


def probe_job(folder: Path, *checks: dict[str, Any], segment: str = "PostMigrate", **more: Any):
    """Return the attempt of a probe Job; `url` is the database's, `order` is further order."""
    spec = (("healthChecks", list(checks)), ("soak", "1h"), *more.pop("spec", ()))
    order = tuple(more.pop("order", {}).items())
    url = more.pop("url", "postgresql://nobody@127.0.0.1:1/none")
    files = (("001_a.up.sql", "SELECT 1"),)
    if more.pop("without_secret", False):
        url = ""
    return Attempt(folder, url, files, segment=segment, spec=spec, order=order, **more)


def run_here(job: Attempt) -> Answer:
    """Carry a probe Job out in this process: what it does, without the start of Python."""
    root = job.mount()
    result = attempt(read_order(root), root, threading.Event())
    return Answer(result.exit_code(), json.loads(encode_result(result)), "")


def checks_of(answer: Answer) -> dict[str, CheckStatus]:
    """Return the checks of an answer by name."""
    return {each.name: each for each in unpack_checks(answer.result["checks"])}


def live_lines(answer: Answer) -> list[tuple[CheckStatus, ...]]:
    """Return what the log showed on its way."""
    found = [read_checks_line(line) for line in answer.log.splitlines()]
    return [each for each in found if each]


def wait_for_line(
    running: RunnerProcess, is_there: Callable[[dict[str, CheckStatus]], bool]
) -> None:
    """Read the log until it shows checks as they are wanted."""
    for line in running.process.stdout:
        found = {each.name: each for each in read_checks_line(line)}
        if found and is_there(found):
            return
    raise AssertionError("the log ended")


def text_of(answer: Answer) -> str:
    """Return all that anybody can read of an answer."""
    told = [each.model_dump_json() for each in checks_of(answer).values()]
    return "\n".join([answer.log, json.dumps(answer.result), *told])
