"""What differs between the tools that run in the user's own image; each has a file of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from whimbrel.model.errors import RefusedError
from whimbrel.model.spec import Spec, Tool
from whimbrel.planning.tools.project import Project, WayBack
from whimbrel.planning.tools.runtimes import Runtime

Rows = tuple[str, ...]  # of the tool's own table; of several columns with colons between them
Argv = tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """Why a wrapper ended early.

    Attributes:
        reason: A word of the wrapper's own, or the class of an exception.
        text: First line of the error; never a row's values.
        place: File and line of the project, or "".
        sqlstate: SQLSTATE of the database, or an error number, or "".
        statement: The beginning of the SQL statement, or "".
    """

    reason: str
    text: str = ""
    place: str = ""
    sqlstate: str = ""
    statement: str = ""

    def sentence(self) -> str:
        """Return all of it for a person."""
        words = f"{self.place}: {self.text}" if self.place else self.text
        words += f" ({_coded(self.sqlstate)})" if self.sqlstate else ""
        return f"{words} [{self.statement}]" if self.statement else words


def _coded(code: str) -> str:
    # A SQLSTATE has five characters, MariaDB's drivers tell a number of four.
    return f"SQLSTATE {code}" if len(code) == 5 else f"error {code}"


@dataclass(frozen=True)
class Start:
    """One start of the tool on the way back.

    Attributes:
        goal: What it goes back to, as the tool says it.
        stays: Revisions that are applied afterwards.
    """

    goal: str
    argv: Argv
    stays: frozenset[str]


@dataclass(frozen=True)
class Started:
    """How a tool is started.

    Attributes:
        runtime: What runs its wrapper.
        wrapper: Its file in whimbrel.runner.wrappers.
        options: Further words for the wrapper.
    """

    runtime: Runtime
    wrapper: str
    options: Callable[[Spec], Argv]


@dataclass(frozen=True)
class Books:
    """The tool's own table.

    Attributes:
        columns: Of a row that stands for an applied revision.
        order: A column that tells which was applied first, or "" where nothing tells.
        relations: What the tool makes beside the migrations to keep its books, of its table's name.
        applied: Revisions of the project that the rows say are applied.
        unknown: Rows that a newer image has written.
        after: The rows when exactly these revisions are applied.
        shown: Where the database is, in at most 255 characters.
        further: Columns that tell the tool's table from others of its name.
    """

    table: str
    columns: tuple[str, ...]
    order: str
    relations: Callable[[str], Rows]
    applied: Callable[[Project, Rows], frozenset[str]]
    unknown: Callable[[Project, Rows], Rows]
    after: Callable[[Project, Rows, frozenset[str]], Rows]
    shown: Callable[[Rows], str]
    further: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ways:
    """The way up and the way back.

    Attributes:
        resolve: Revisions that a name of the spec means; none for "base".
        up: Command that applies what a name means.
        adopt: Command that only records it.
        back: Starts that lead from the rows to a place that `before`, or a person, named.
        before: A name for the place where the database had the second rows, and has the first now.
    """

    resolve: Callable[[Project, str], tuple[str, ...]]
    up: Callable[[str, tuple[str, ...]], Argv]
    adopt: Callable[[str, tuple[str, ...]], Argv]
    back: Callable[[Project, Rows, str], tuple[Start, ...]]
    before: Callable[[Project, Rows, Rows], str]


@dataclass(frozen=True)
class Sentences:
    """What is said of a tool.

    Attributes:
        no_way_back: What its author wrote instead of a way back.
        problems: By reason word of the wrapper's own, with the words of its message in braces.
        elsewhere: A question, where all went well and the rows are not as planned.
        advice: What to do about a problem of a run, with a semicolon before it, or "".
        refusals: By reason of a project that could not be read, where the library's own words do
            not do: our reason and sentence, with {text}, {sentence} and {reason} of the problem.
        broken: How the refusal for any other reason begins.
        record: SQL that writes a migration down, with {table}, {id} and the {stamp} at the end of
            its name; "" where `adopt` does.
    """

    no_way_back: Mapping[WayBack, str]
    problems: Mapping[str, str]
    elsewhere: Callable[[Spec], str]
    advice: Callable[[Problem], str] = lambda _: ""
    refusals: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    broken: str = "the project cannot be loaded"
    record: str = ""

    def problem(self, message: Mapping[str, Any]) -> str:
        """Return the sentence for a reason word of the wrapper's own, or ""."""
        return self.problems.get(message["reason"], "").format(**message)

    def refusal(self, problem: Problem) -> RefusedError:
        """Return the refusal of a project that could not even be read."""
        if problem.reason in self.problems:
            return RefusedError(problem.reason, problem.text)
        other = ("BrokenMigration", self.broken + ": {sentence} ({reason})")
        reason, sentence = self.refusals.get(problem.reason, other)
        words = {"text": problem.text, "sentence": problem.sentence(), "reason": problem.reason}
        return RefusedError(reason, sentence.format(**words))


@dataclass(frozen=True)
class ForeignTool:
    """A tool that runs in the user's image.

    Attributes:
        title: Its name as its users write it.
        command: First word of its commands as they are shown.
        schemes: Scheme of its URL for other kinds of servers than PostgreSQL.
    """

    tool: Tool
    title: str
    command: str
    started: Started
    books: Books
    ways: Ways
    sentences: Sentences
    schemes: Mapping[str, str] = field(default_factory=dict)


def relations(tool: ForeignTool, spec: Spec) -> frozenset[str]:
    """Return the names of what the tool makes to keep its books, which no migration has made."""
    place = spec.migrations.bookkeeping
    return frozenset(tool.books.relations(place.table if place else tool.books.table))


def way(tool: ForeignTool, before: Rows, after: Rows) -> str:
    """Return from where to where a start leads, for a person."""
    shown = tool.books.shown
    return f"from {shown(before) or 'nothing'} to {shown(after) or 'nothing'}"


def scheme_for(tool: ForeignTool, spec: Spec, server: str) -> str:
    """Return the scheme of the URL: the spec's where it fits the server, else the tool's own.

    So one manifest serves two kinds of servers.

    Raises:
        RefusedError: ``ToolNotOnServer``, ``SchemeUnknown``.
    """
    asked = spec.migrations.database_url.scheme
    theirs = asked.partition("+")[0] in _OF_MARIADB
    if server == "postgresql":
        if theirs:
            raise RefusedError(
                "SchemeUnknown",
                f"migrations.databaseURL.scheme is {asked}, and PostgreSQL answers: leave it out",
            )
        return asked
    if server not in tool.schemes:
        raise RefusedError(
            "ToolNotOnServer", f"{tool.title} is carried on PostgreSQL only, and {server} answers"
        )
    return asked if theirs else tool.schemes[server]


_OF_MARIADB: Final = ("mysql", "mariadb")


def command(tool: ForeignTool, spec: Spec, argv: Argv, wrapper: str, *, interpreter: str) -> Argv:
    """Return the words that carry out a step's `argv` with an unchanged project.

    Args:
        tool: Whose command it is.
        spec: Names the variable of the URL, and the tool's options.
        argv: As the plan shows it.
        wrapper: Text of the wrapper.
        interpreter: Its name on the image's PATH.
    """
    runtime, options = tool.started.runtime, tool.started.options(spec)
    text = (interpreter, *runtime.before, wrapper, *runtime.after)
    return (*text, *options, spec.migrations.database_url.env, *argv[1:])


def own_options(spec: Spec) -> str:
    """Return the PGOPTIONS that the object itself gives to the tool, or ""."""
    return next((each.value or "" for each in spec.migrations.env if each.name == "PGOPTIONS"), "")


def environment(spec: Spec, url: str, application_name: str, options: str) -> dict[str, str]:
    """Return the variables of one run: the URL, and what libpq passes on by itself.

    Args:
        spec: Its `env` comes first, and its own PGOPTIONS stay before ours.
        url: As the tool wants it, with the password.
        application_name: What pg_stat_activity shows of the tool.
        options: Settings of the session, for example ``-c lock_timeout=100ms``.
    """
    given = {each.name: each.value for each in spec.migrations.env if each.value is not None}
    return {
        **given,
        spec.migrations.database_url.env: url,
        "WHIMBREL_LEDGER": spec.database.ledger_schema,
        "PGAPPNAME": application_name,
        "PGOPTIONS": f"{own_options(spec)} {options}".strip(),
        "PYTHONUNBUFFERED": "1",
    }
