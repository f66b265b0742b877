"""Foreign keys of clones while they are none yet, as text for PostgreSQL.

On a clone a foreign key would stop the application. So what it would have done when a row that is
referred to went or changed is done by hand, and rows that refer to none are found.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from whimbrel.planning.dialects.postgresql import quote_identifier, quote_literal, quote_name
from whimbrel.planning.dialects.postgresql_replay import Replayed, key_of_row, record

FOREIGN_KEY_VIOLATION: Final = "23503"  # SQLSTATE
_CASCADE, _SET_NULL, _SET_DEFAULT = "c", "n", "d"


@dataclass(frozen=True)
class Reference:
    """A foreign key between tables, each of which may be a clone.

    Attributes:
        facts: As `describe_table` gives them.
        child: The covered table that refers, or None.
        parent: The covered table that is referred to, or None.
        child_name: Quoted name of the clone, or of the table where it is not covered.
        parent_name: The same.
        is_checked: Every row obeys it, not only the new ones.
    """

    facts: Mapping[str, Any]
    child: Replayed | None
    parent: Replayed | None
    child_name: str
    parent_name: str
    is_checked: bool

    def pairs(self) -> list[tuple[str, str]]:
        """Return quoted column and referenced column."""
        names = zip(self.facts["columns"], self.facts["referenced"], strict=True)
        return [(quote_identifier(here), quote_identifier(there)) for here, there in names]

    def is_orphan(self) -> str:
        """Return the condition that a row `c` refers to none."""
        filled = " AND ".join(f"c.{here} IS NOT NULL" for here, _ in self.pairs())
        match = " AND ".join(f"o.{there} = c.{here}" for here, there in self.pairs())
        return f"{filled} AND NOT EXISTS (SELECT FROM {self.parent_name} o WHERE {match})"

    def referred(self, row: str) -> str:
        """Return the condition that a row `c` referred to the row in a patch's `base`."""
        return " AND ".join(f"c.{here} = ({row}.base).{there}" for here, there in self.pairs())


def count_orphans(reference: Reference) -> str:
    """Return the question how many rows refer to none."""
    return f"SELECT count(*) FROM {reference.child_name} c WHERE {reference.is_orphan()}"


def show_orphans(facts: Mapping[str, Any]) -> str:
    """Return the question for rows that break a foreign key: how many, and what three refer to."""
    ends = (facts["schema"], facts["table"]), (facts["target"][0], facts["target"][1])
    child, parent = (quote_name(*end) for end in ends)
    reference = Reference(facts, None, None, child, parent, is_checked=True)
    values = ", ".join(f"c.{here}" for here, _ in reference.pairs())
    return (
        "SELECT count(*), array_to_string((array_agg(o.v ORDER BY o.v))[1:3], '; ') FROM"
        f" (SELECT concat_ws(', ', {values}) AS v FROM {reference.child_name} c"
        f" WHERE {reference.is_orphan()}) o HAVING count(*) > 0"
    )


def find_orphans(reference: Reference, child: Replayed, *, most: int) -> str:
    """Return the question for the keys of rows that refer to none, as JSON."""
    return (
        f"SELECT {key_of_row(child, 'c')}::text FROM {reference.child_name} c"
        f" WHERE {reference.is_orphan()} LIMIT {most}"
    )


def find_new_orphans(reference: Reference, child: Replayed) -> str:
    """Return the same question for the rows of a round: written, or left by those they refer to."""
    return (
        f"WITH {_touched(reference, child)} SELECT {key_of_row(child, 'c')}::text"
        f" FROM {reference.child_name} c WHERE {_is_touched(child)} AND {reference.is_orphan()}"
    )


def _touched(reference: Reference, child: Replayed, *more: str) -> str:
    """Return the query `touched`: keys of rows that may have lost what they refer to in a round."""
    names = ", ".join(f"c.{quote_identifier(each)}" for each in child.key)
    numbers = range(1, len(child.key) + 1)
    places = ", ".join(f"p.n{number}" for number in numbers)
    found = [f"SELECT {places} FROM {child.patch} p WHERE p.op IN ('I', 'U')", *more]
    if reference.parent:
        found.append(
            f"SELECT {names} FROM {child.target} c JOIN {reference.parent.patch} p"
            f" ON {reference.referred('p')}"
        )
    columns = ", ".join(f"t{number}" for number in numbers)
    return f"touched ({columns}) AS ({' UNION '.join(found)})"


def _is_touched(child: Replayed) -> str:
    names = ", ".join(f"c.{quote_identifier(each)}" for each in child.key)
    return f"({names}) IN (SELECT t.* FROM touched t)"


def follow_delete(reference: Reference, child: Replayed, parent: Replayed) -> str | None:
    """Return the statement that does what ON DELETE says, None where it says nothing.

    For places $1 to $2. Rows that go this way are in the patch, at place 0: others may have
    referred to them.
    """
    action, where = reference.facts["on_delete"], _gone(reference, child, parent, "D")
    if action == _CASCADE:
        return (
            f"WITH gone AS (DELETE FROM {child.target} c USING {parent.patch} p WHERE {where}"
            f" RETURNING CASE WHEN true THEN c.* END AS base) INSERT INTO {child.patch}"
            " (place, op, base) SELECT 0, 'D', base FROM gone RETURNING place"
        )
    return _set(reference, child, action, f"{parent.patch} p", where)


def follow_update(reference: Reference, child: Replayed, parent: Replayed) -> str | None:
    """Return the statement that does what ON UPDATE says, None where it says nothing.

    For places $1 to $2.
    """
    action, where = reference.facts["on_update"], _gone(reference, child, parent, "U")
    source = f"{parent.patch} p CROSS JOIN LATERAL json_populate_record(p.base, p.patch) n"
    same = " AND ".join(f"n.{there} = (p.base).{there}" for _, there in reference.pairs())
    where = f"{where} AND NOT ({same})"
    if action != _CASCADE:
        return _set(reference, child, action, source, where)
    values = ", ".join(f"{here} = n.{there}" for here, there in reference.pairs())
    return f"UPDATE {child.target} c SET {values} FROM {source} WHERE {where}"


def _gone(reference: Reference, child: Replayed, parent: Replayed, op: str) -> str:
    """Return the condition that what a row `c` referred to went or changed.

    Where another has its place, or itself again, a row that the application wrote refers to that.
    """
    match = " AND ".join(f"o.{there} = c.{here}" for here, there in reference.pairs())
    key = " AND ".join(
        f"c.{quote_identifier(name)} = w.n{number}" for number, name in enumerate(child.key, 1)
    )
    # What moved has been written too: by which of its changes, its last place does not tell.
    written = " OR ".join(
        [
            *(f"w.n{number} <> w.k{number}" for number, _ in enumerate(child.key, 1)),
            *(
                f"w.patch -> {quote_literal(name)} IS NOT NULL"
                for name in reference.facts["columns"]
            ),
        ]
    )
    return (
        f"p.op = '{op}' AND p.place BETWEEN $1::bigint AND $2::bigint AND {reference.referred('p')}"
        f" AND NOT (EXISTS (SELECT FROM {parent.target} o WHERE {match}) AND EXISTS"
        f" (SELECT FROM {child.patch} w WHERE {key}"
        f" AND (w.op = 'I' OR w.op = 'U' AND ({written}))))"
    )


def _set(reference: Reference, child: Replayed, action: str, source: str, where: str) -> str | None:
    if action not in {_SET_NULL, _SET_DEFAULT}:
        return None
    defaults = {each["name"]: each["default"] or "NULL" for each in child.columns}
    names = reference.facts["delete_sets"] or reference.facts["columns"]
    values = ", ".join(
        f"{quote_identifier(each)} = {'NULL' if action == _SET_NULL else defaults[each]}"
        for each in names
    )
    return f"UPDATE {child.target} c SET {values} FROM {source} WHERE {where}"


def remove_orphans(reference: Reference, child: Replayed) -> str:
    """Return the statement that records rows which refer to none, and takes them out.

    Of the keys in $1 (a JSON array), of those written in this round, and of those that referred to
    rows taken out the same way. It returns a row for each.
    """
    typed = ", ".join(f"{quote_identifier(each)} {child.type_of(each)}" for each in child.key)
    suspects = f"SELECT s.* FROM json_to_recordset($1::json) AS s ({typed})"
    key = ", ".join(
        f"{quote_literal(each)}, (g.base).{quote_identifier(each)}" for each in child.key
    )
    told = record(child, "'NoParent'", f"json_build_object({key})")
    return (
        f"WITH {_touched(reference, child, suspects)}, gone AS (DELETE FROM {child.target} c"
        f" WHERE {_is_touched(child)} AND {reference.is_orphan()}"
        " RETURNING CASE WHEN true THEN c.* END AS base),"
        f" told AS ({told}, {quote_literal('')}, row_to_json(g.base) FROM gone g)"
        f" INSERT INTO {child.patch} (place, op, base) SELECT 0, 'X', base FROM gone RETURNING 1"
    )
