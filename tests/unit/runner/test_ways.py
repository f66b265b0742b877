"""Which starts of a tool are still there, and which ones a way back has taken back."""

import pytest

from whimbrel.runner.records import ToolRun
from whimbrel.runner.ways import before_newest_run, taken_back, ways_up


def starts(*told: str) -> list[ToolRun]:
    """Return starts from words such as "up ab>abc", each letter a revision; of a run of its own."""
    return [a_start(number, each) for number, each in enumerate(told)]


def a_start(number: int, told: str) -> ToolRun:
    word, _, places = told.partition(" ")
    before, _, after = places.partition(">")
    run, _, same_run = word.partition("@")
    rows = {"before": tuple(before), "after": tuple(after)}
    return ToolRun(
        run=same_run or f"run{number}", segment="Migrate", attempt=1, step=f"{run}:tool:x",
        history="default", image="", added={}, fingerprint_before="", **rows,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "left", "back"),
    [
        pytest.param(["up >a", "up a>ab"], [0, 1], [], id="nothing was taken back"),
        pytest.param(["up >a", "up a>ab", "down ab>a"], [0], [1, 2], id="the last one"),
        pytest.param(["up >a", "up a>ab", "down ab>"], [], [0, 1, 2], id="all"),
        pytest.param(
            ["up >abc", "down abc>ab", "down ab>"], [], [0, 1, 2], id="in two starts, one cut"
        ),
        pytest.param(
            ["up >a", "up a>ab", "down ab>a", "up a>ac"], [0, 3], [], id="and another way up since"
        ),
        pytest.param(
            ["up >ab", "down ab>a", "up a>ab", "down ab>a"], [0], [2, 3],
            id="what went up again after a way back to its middle",
        ),
        pytest.param(
            ["up >a", "up a>ab", "down ab>as"], [0], [1, 2], id="a way back that records a squash"
        ),
        pytest.param(["up >a", "down a>s"], [0], [], id="a squash alone tells no place"),
        pytest.param(
            ["up >a", "up a>a", "up a>ab", "down ab>a"], [0], [1, 2, 3],
            id="a start that recorded nothing, and what it left, belong to the next",
        ),
        pytest.param(
            ["up >a", "up a>a", "up a>a", "up a>ab", "down ab>a"], [0], [1, 2, 3, 4],
            id="two of those",
        ),
        pytest.param(
            ["adopt >a", "up a>ab", "down ab>a"], [], [1, 2], id="an adoption is no way"
        ),
        pytest.param(["adopt a>a", "up a>ab", "down ab>a"], [], [1, 2], id="nor a repeated one"),
        pytest.param(["adopt >ab", "down ab>"], [], [], id="an adoption is not taken back"),
        pytest.param([], [], [], id="no start at all"),
    ],
)  # fmt: skip
def test_what_is_left_and_what_was_taken_back(told: list[str], left: list[int], back: list[int]):
    ended = starts(*told)
    assert ways_up(ended) == [ended[number] for number in left]
    assert list(taken_back(ended)) == [ended[number] for number in back]


@pytest.mark.parametrize(
    ("told", "rows", "expected"),
    [
        pytest.param(["up >a", "up a>ab"], "ab", ("a",), id="the newest"),
        pytest.param(["up >a"], "a", ("base",), id="the first"),
        pytest.param(["up@x a>ab", "up@x ab>abc"], "abc", ("a",), id="one run of two starts"),
        pytest.param(["up >a", "up a>ab"], "abc", (), id="somebody else went on"),
        pytest.param([], "", (), id="no way"),
    ],
)
def test_where_the_newest_run_began(told: list[str], rows: str, expected: tuple[str, ...]):
    assert before_newest_run(ways_up(starts(*told)), tuple(rows)) == expected
