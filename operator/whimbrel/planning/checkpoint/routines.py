"""Which functions a statement runs, called or by a trigger, and what their bodies tell of them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from whimbrel.planning.checkpoint.bodies import Body, read_body
from whimbrel.planning.syntax import Parsed
from whimbrel.planning.trees import Tree, children, words

Source = tuple[str, str]  # language and text

QUERIES: Final = frozenset(
    {
        "select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "copy_stmt",
        "explain_stmt", "prepare_stmt", "execute_stmt", "declare_cursor_stmt",
    }
)  # fmt: skip
# What runs the functions in it; a view or a default of a new table stores their names.
_RUN: Final = QUERIES | {"create_table_as_stmt", "alter_table_stmt"}
_READS: Final = frozenset({"stable", "immutable"})


@dataclass
class Routines:
    """The functions that are there while statements run, one after the other.

    Attributes:
        sources: By name, of whichever schema: those that may write.
        triggers: Table, by its name alone, and function, of those that the statements made.
    """

    sources: dict[str, tuple[Source, ...]]
    triggers: list[tuple[str, str]] = field(default_factory=list)

    def learn(self, parsed: Parsed) -> None:
        """Take note of a function or a trigger that a statement makes."""
        tree = parsed.tree
        if parsed.kind == "create_trig_stmt":
            self.triggers.append((tree.relation.relname, words(tree.funcname)[-1]))
        elif parsed.kind == "create_function_stmt":
            options = {each.def_elem.defname: each.def_elem.arg for each in tree.options}
            if "volatility" in options and options["volatility"].string.sval in _READS:
                return
            language = options["language"].string.sval if "language" in options else "sql"
            text = words(options["as"].list.items) if "as" in options else (parsed.statement.text,)
            name = words(tree.funcname)[-1]
            self.sources[name] = (*self.sources.get(name, ()), (language, text[0]))

    def run_by(self, parsed: Parsed, tables: Collection[str]) -> Iterator[tuple[str, Body]]:
        """Yield the functions that a statement on tables runs, and those that they call."""
        waiting = [*self._called(parsed)]
        waiting += [name for table, name in self.triggers if table in tables]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            for source in self.sources.get(name, ()) if name not in seen else ():
                body = read_body(*source)
                yield name, body
                waiting += body.calls
            seen.add(name)

    def _called(self, parsed: Parsed) -> Iterator[str]:
        # Megabytes of VALUES are walked only where they may hold such a call.
        text = parsed.statement.text.lower()
        if parsed.kind in _RUN and any(name.lower() in text for name in self.sources):
            yield from _calls(parsed.tree)


def _calls(tree: Tree) -> Iterator[str]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        waiting.extend(children(node))
        parts = words(node.funcname) if type(node).DESCRIPTOR.name == "FuncCall" else ()
        if parts and parts[0] != "pg_catalog":
            yield parts[-1]
