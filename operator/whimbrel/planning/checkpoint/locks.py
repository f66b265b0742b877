"""From what everybody is kept away while tables are exchanged."""

from whimbrel.planning.checkpoint.exchange import Side
from whimbrel.planning.checkpoint.facts import NOTHING, Facts, foreign_keys, place_of
from whimbrel.planning.dialects import postgresql_dependents as words


def lock(sides: tuple[Side, ...]) -> list[str]:
    """Return the statements that keep everybody away, each from one table or one sequence.

    Sequences come last: an INSERT has its table before it draws a number.
    """
    drawn = (stand_for(each, side) for side in sides for each in side.then["sequences"])
    sequences = sorted(set[tuple[str, str]]().union(*drawn))
    tables = (words.fill(words.LOCK, table=each) for each in _tables(sides))
    return [*tables, *map(words.lock_sequence, sequences)]


def _tables(sides: tuple[Side, ...]) -> list[tuple[str, str]]:
    """Return the failed tables and their neighbours, always in the same order.

    A foreign key is made and dropped on both of its sides.
    """
    tables, gone = {place_of(each.live) for each in sides if each.live}, set[tuple[str, str]]()
    found = set(tables)
    for side in sides:
        gone.add(place_of(side.then))
        for each in foreign_keys(filter(None, (side.then, side.live))):
            found |= {(each["schema"], each["table"]), (each["target"][0], each["target"][1])}
    return sorted((found - gone) | tables)


def stand_for(sequence: Facts, side: Side) -> set[tuple[str, str]]:
    """Return the sequences that stand now where one stood: itself, and what came in its place."""
    live = (side.live or NOTHING).get("sequences", ())
    same = (each for each in live if each["column"] == sequence["column"])
    itself = filter(None, [side.sequences.get(sequence["oid"])])
    return {*itself, *((each["schema"], each["name"]) for each in same)}
