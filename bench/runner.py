"""CPU of one runner from start to end when there is nothing to do; no cluster needed.

usage: python -m bench.runner [ROUNDS]
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.ground import machine, say
from tests.postgres import Postgres, create_database, running_postgres
from tests.runner_process import Attempt, attempt_on

FILES = {"001_a.up.sql": "CREATE TABLE a (id int);", "001_a.down.sql": "DROP TABLE a;"}


def cpu() -> float:
    """Return the CPU seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bare_python() -> float:
    """Return the CPU seconds of an interpreter that does nothing: the floor."""
    before = cpu()
    subprocess.run([sys.executable, "-c", ""], check=True)
    return cpu() - before


def one(attempt: Attempt) -> tuple[float, float]:
    """Return CPU and wall-clock seconds of an attempt that finds everything applied."""
    before, started = cpu(), time.monotonic()
    answer = attempt.run_to_end()
    if answer.result.get("outcome") != "NothingToDo":
        raise RuntimeError(f"something was to do: {answer}")
    return cpu() - before, time.monotonic() - started


def measure(database: Postgres, folder: Path, rounds: int) -> list[tuple[float, float]]:
    """Apply once, then measure runs that have nothing to do."""
    attempt_on(database, folder, FILES, anew=True).run_to_end()
    runs = (
        attempt_on(database, folder, FILES, run=f"idle{number}", anew=True)
        for number in range(rounds)
    )
    return [one(attempt) for attempt in runs]


def main(rounds: int) -> None:
    """Measure and print medians."""
    with tempfile.TemporaryDirectory() as folder, running_postgres(16) as server:
        database = create_database(server, "shop")
        measured = measure(database, Path(folder), rounds)
    spent, lasted = (statistics.median(each) for each in zip(*measured, strict=True))
    floor = statistics.median(bare_python() for _ in range(rounds))
    say(f"machine: {machine()}; rounds: {rounds}")
    say(f"runner with nothing to do: {spent:.2f} CPU s, {lasted:.2f} s from start to end (medians)")
    say(f"bare Python: {floor:.2f} CPU s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
