"""Which starts of a tool nobody has taken back, and what a way back has taken back."""

from collections.abc import Sequence

from whimbrel.runner.records import ToolRun


def ways_up(ended: Sequence[ToolRun]) -> list[ToolRun]:
    """Return the starts that led up and that nobody took back, oldest first.

    An adoption ran nothing, so a way back never leads below it. Several starts of one run (a kill
    between two transactions of the tool) are one way.

    Args:
        ended: Starts for one history whose end was read back, oldest first.
    """
    return [ended[number] for number in _followed(ended)[0]]


def taken_back(ended: Sequence[ToolRun]) -> Sequence[ToolRun]:
    """Return the newest start, which led back, and all since the first that it took back.

    With those right before, which recorded nothing: what they left is of the same way.
    """
    _, first = _followed(ended)
    while 0 < first < len(ended) and _left_off_at(ended[first - 1], ended[first]):
        first -= 1
    return ended[first:]


def before_newest_run(ways: Sequence[ToolRun], rows: tuple[str, ...]) -> tuple[str, ...]:
    """Return the revisions before the run of the newest way; () unless it led to these rows."""
    if not ways or set(ways[-1].after or ()) != set(rows):
        return ()
    first = next(way for way in ways if way.run == ways[-1].run)
    return first.before or ("base",)


def _followed(ended: Sequence[ToolRun]) -> tuple[list[int], int]:
    """Return the numbers of the ways that are left, and of the oldest that the last start took."""
    ways: list[int] = []
    first = len(ended)
    for number, run in enumerate(ended):
        places = _places_back(run)
        begun = [way for each in places for way in ways if set(ended[way].before) == each]
        first = begun[0] if begun else len(ended)
        if begun:
            ways = [way for way in ways if way < first]
        elif run.step.startswith("up:") and set(run.after or ()) != set(run.before):
            ways.append(number)
    return ways, first


def _places_back(run: ToolRun) -> list[set[str]]:
    """Return where a start may have led back to: the first that was left from counts."""
    left = set(run.after or ())
    rest = left & set(run.before)
    # A tool may record something new even on a way back, such as a squash.
    return [left, rest] if run.step.startswith("down:") and rest else [left]


def _left_off_at(earlier: ToolRun, later: ToolRun) -> bool:
    """Tell whether a start recorded nothing, right where the later one began."""
    places = (set(earlier.before), set(earlier.after or ()))
    return earlier.step.startswith("up:") and all(set(later.before) == each for each in places)
