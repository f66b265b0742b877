"""Which of the dear tests `make test` runs: of each class of similar ones a seeded choice.

`@pytest.mark.sampled("class")` puts a test into a class of the table below. WHIMBREL_SEED decides
which of a class run, the same ones in each worker; the rest is left out, and counted at the end.
With WHIMBREL_SOAK, with a test that is named (`file.py::test`) and with `-k` everything runs.
What is cheap always runs, and so does the main path of each strategy and, without a cluster, of
each tool. A test on each PostgreSQL that we promise runs on one of them: the fixture puts it into a
class of its own.
"""

import os
import random
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

MAIN_PATH = "the main path"  # of a module whose other tests are in a class
SEED = int(os.environ.get("WHIMBREL_SEED", "1"))


@dataclass(frozen=True)
class Sample:
    """How many tests of a class run at least, and what of them must come.

    `by` names parameters of which each value comes; "test" stands for the test function.
    """

    keep: int
    by: tuple[str, ...] = ()


EACH_POSTGRES = "each PostgreSQL"
VERSION = re.compile(r"postgresql \d+")
ALL = 1_000
CLASSES = {
    MAIN_PATH: Sample(ALL),
    # Against real servers, without a cluster.
    "the matrix": Sample(8, ("cell", "server", "case")),
    "a killed runner": Sample(12, ("moment",)),
    "a runner killed on MariaDB": Sample(8, ("at",)),
    "a killed way back": Sample(4, ("moment",)),
    "a killed way back that would lose data": Sample(1),
    "a killed rollback that salvages": Sample(3, ("moment",)),
    "a killed rollback": Sample(2),
    "a release on each server": Sample(8, ("test", "shop")),
    "a restored dump": Sample(3),
    "a question about a tool": Sample(3),
    "a question about a plan": Sample(5, ("test",)),
    "what a way back leaves": Sample(2),
    "a tool with nothing new": Sample(2, ("test",)),
    "a fault of each tool": Sample(3, ("shop",)),
    "half done by Alembic": Sample(3),
    "Alembic cut short": Sample(2),
    "sessions of Alembic": Sample(2),
    "rows of Alembic": Sample(1),
    "half done by Django": Sample(4),
    "Django beside its main path": Sample(4),
    "a driver of Django on MariaDB": Sample(5, ("test", "place")),
    "Sequelize beside its main path": Sample(3),
    "TypeORM beside its main path": Sample(3),
    "half a transaction of a Node tool": Sample(1),
    "a part that stays, of Prisma": Sample(3),
    "a name that is put together": Sample(1),
    "a defect of checkpoints on MariaDB": Sample(1),
    "an exchange on MariaDB that is cut off": Sample(4, ("test",)),
    "a change of a table on MariaDB": Sample(3),
    "Alembic beside its main path": Sample(3),
    "Django asked and told": Sample(5),
    "Django led elsewhere": Sample(2),
    "Django named wrong": Sample(4),
    "Alembic asked and told": Sample(5),
    "TypeORM asked and told": Sample(5),
    "Sequelize asked and told": Sample(6),
    "a run that is refused midway": Sample(4),
    "a way back in a newer image": Sample(3),
    "what is new for a tool": Sample(4),
    "what is new for a tool of Node": Sample(3, ("tool",)),
    "a checkpoint of Alembic": Sample(2),
    "a checkpoint of files": Sample(5),
    "the life of a checkpoint": Sample(6),
    "a dump": Sample(3),
    "a dump as the way back": Sample(5),
    "a dump of Alembic": Sample(1),
    "stopped writes": Sample(4),
    "a killed run with a checkpoint": Sample(3, ("test",)),
    "each tool once more": Sample(3),
    "a run that is watched": Sample(4),
    "a run on MariaDB": Sample(6),
    "half a file on MariaDB": Sample(3),
    "Prisma beside its main path": Sample(3),
    "a killed operator": Sample(5, ("moment",)),
    "leaders with stale reads": Sample(10),
    "a killed operator with Jobs that check": Sample(2, ("moment", "exits")),
    "a step of a checkpoint that the server ends": Sample(8, ("any_database",)),
    "a process killed at a step of a checkpoint": Sample(8, ("any_database", "test")),
    "Alembic named wrong": Sample(4),
    "a write since a checkpoint": Sample(10),
    "what a journal tells": Sample(5, ("test",)),
    "a write on MariaDB since a checkpoint": Sample(6),
    "what is rare on MariaDB": Sample(4),
    "foreign keys on MariaDB": Sample(6, ("test",)),
    "a table on MariaDB without a checkpoint": Sample(5),
    "what is rare with keys on MariaDB": Sample(8),
    "a run on MariaDB with a checkpoint": Sample(5),
    "a checkpoint that is watched": Sample(8, ("any_database",)),
    "a restore that is killed": Sample(8),
    "what a person is asked": Sample(14),
    "what waits for a clock": Sample(2),
    "a probe Job": Sample(5),
    "an answer of Prometheus": Sample(10, ("test",)),
    "a query of a probe": Sample(16, ("test",)),
    "a pooler before the server": Sample(4, ("test",)),
    "a ledger in a project's words": Sample(3),
    "a project that hangs": Sample(3, ("test",)),
    "a project without migrations": Sample(3),
    "a value of a row": Sample(5, ("tool",)),
    "a tool at the terminal": Sample(3),
    "a tool on MariaDB": Sample(4),
    "an example by dialect": Sample(2),
    "an embedded server": Sample(3),
    # On the cluster.
    "the main path of a tool on the cluster": Sample(3),
    "an example on the cluster": Sample(2),
    "a checkpoint on the cluster": Sample(1),
    "a run that is watched on the cluster": Sample(1),
    "a rolling release": Sample(1),
    "a tool on the cluster": Sample(2),
    "an image that cannot run": Sample(1),
    "a killed Pod": Sample(2),
    "a story of SQL": Sample(3),
    "a release of blue and green": Sample(1),
    "trouble in a release": Sample(1),
    "a Job that checks": Sample(1),
    "the operator is away": Sample(1),
    "the API server is away": Sample(1),
}


def choose(name: str, traits: Mapping[str, frozenset[str]], keep: int, seed: int) -> set[str]:
    """Return the tests of a class that run: at least `keep`, and each trait at least once."""
    rest = sorted(traits)
    random.Random(f"{seed} {name}").shuffle(rest)
    missing = set().union(*traits.values())
    found: list[str] = []
    while rest and (missing or len(found) < keep):
        best = max(rest, key=lambda each: len(traits[each] & missing))
        rest.remove(best)
        found.append(best)
        missing -= traits[best]
    return set(found)


def class_of(item: pytest.Item) -> tuple[str, Sample] | None:
    """Return the class that a test is in: the one of its own before that of its module."""
    names = [mark.args[0] for mark in item.iter_markers("sampled")]
    own = [name for name in names if name != EACH_POSTGRES]
    if not names:
        return None
    if not own:
        return _without_version(item), Sample(1)
    if own[0] not in CLASSES:
        raise pytest.UsageError(f"{item.nodeid}: tests/sampling.py knows no class {own[0]!r}")
    return own[0], CLASSES[own[0]]


def _without_version(item: pytest.Item) -> str:
    """Return what is the same on each server."""
    return f"{EACH_POSTGRES}: {VERSION.sub('', item.nodeid)}"


def traits_of(item: pytest.Item, by: tuple[str, ...]) -> frozenset[str]:
    """Return what a test has of that of which each must come."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    own = {"test": item.nodeid.partition("[")[0], **params}
    return frozenset(f"{name} {own[name]}" for name in by if name in own)


def everything_is_asked_for(config: pytest.Config) -> bool:
    """Tell whether nothing may be left out."""
    named = config.option.keyword or any("::" in each for each in config.args)
    return bool(named or os.environ.get("WHIMBREL_SOAK"))


@pytest.hookimpl(trylast=True)  # after -m and -k
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not in the sample."""
    classes: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)
    keep: dict[str, int] = {}
    for item in items:
        if found := class_of(item):
            name, sample = found
            keep[name] = sample.keep
            classes[name][item.nodeid] = traits_of(item, sample.by)
    counts = {name: [len(members)] * 2 for name, members in classes.items()}
    if not everything_is_asked_for(config):
        left_out = set()
        for name, members in classes.items():
            chosen = choose(name, members, keep[name], SEED)
            counts[name][0] = len(chosen)
            left_out |= members.keys() - chosen
        config.hook.pytest_deselected(items=[each for each in items if each.nodeid in left_out])
        items[:] = [each for each in items if each.nodeid not in left_out]
    config.stash[COUNTS] = counts
    if hasattr(config, "workeroutput"):
        config.workeroutput["sampled"] = counts


COUNTS = pytest.StashKey[dict[str, list[int]]]()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker counted; each of them counts the same."""
    node.config.stash[COUNTS] = getattr(node, "workeroutput", {}).get("sampled", {})


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many were left out; with --collect-only, of which class."""
    counts = config.stash.get(COUNTS, {})
    if not counts:
        return
    if config.option.collectonly:
        for name, (ran, of) in sorted(counts.items()):
            terminalreporter.write_line(f"sampled: {ran} of {of}: {name}")
    ran, of = (sum(each) for each in zip(*counts.values(), strict=True))
    told = f"sampled: {ran} of {of}" + ("" if ran == of else "; all of them: make soak")
    terminalreporter.write_line(f"{told} (seed {SEED})")
