"""The choice of the dear tests: every class, all that must come, another one by each seed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from tests.sampling import CLASSES, choose

ROOT = Path(__file__).parents[2]
TWELVE = {f"{tool}[{number}]": frozenset([tool]) for tool in "ab" for number in range(6)}


@given(
    st.dictionaries(st.text(), st.frozensets(st.sampled_from("abcde")), min_size=1),
    st.integers(0, 9),
    st.integers(),
)
def test_enough_come_and_each_trait_does(traits: dict, keep: int, seed: int):
    chosen = choose("any", traits, keep, seed)
    assert chosen <= traits.keys()
    assert len(chosen) >= min(keep, len(traits))
    assert set().union(*(traits[each] for each in chosen)) == set().union(*traits.values())


def test_the_seed_decides_and_nothing_else():
    again = dict(reversed(TWELVE.items()))
    assert choose("any", TWELVE, 3, 1) == choose("any", again, 3, 1)
    assert len({frozenset(choose("any", TWELVE, 3, seed)) for seed in range(30)}) > 20
    assert choose("any", TWELVE, 3, 1) != choose("other", TWELVE, 3, 1)
    assert set().union(*(choose("any", TWELVE, 3, seed) for seed in range(99))) == set(TWELVE)


def test_each_class_has_tests_and_each_test_a_class():
    marked = re.compile(r'^(?:pytestmark = .*|@)pytest.mark.sampled\("(.+)"\)\]?$', re.MULTILINE)
    texts = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for text in texts for name in marked.findall(text)} == CLASSES.keys()


def collected(*words: str, **env: str) -> str:
    """Return what pytest would run."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    plain = {name: value for name, value in os.environ.items() if name != "WHIMBREL_SOAK"}
    done = subprocess.run(
        [*command, *words], cwd=ROOT, env=plain | env, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 5), done.stdout + done.stderr
    return done.stdout


CRASHES = "tests/scenarios/test_runner_crashes.py"


@pytest.mark.parametrize(
    ("words", "env"),
    [
        pytest.param([f"{CRASHES}::test_killed_at"], {}, id="named"),
        pytest.param([CRASHES, "-k", "test_killed_at"], {}, id="by a word"),
        pytest.param([CRASHES], {"WHIMBREL_SOAK": "1"}, id="soak"),
    ],
)
def test_what_is_asked_for_runs(words: list[str], env: dict[str, str]):
    assert "sampled: 300 of 300 (" in collected(*words, **env)


def test_what_is_left_out_is_counted():
    left = collected(CRASHES, WHIMBREL_SEED="7")
    assert "sampled: 12 of 300; all of them: make soak (seed 7)" in left
    assert left.count("test_killed_at[") == 12
