"""A result as a person at a terminal reads it, with a command that works here."""

import os
import re
import shlex
from pathlib import Path
from typing import Any

import typer

from whimbrel.cli.gate import token_of
from whimbrel.cli.options import STATE_DIR, URL_VARIABLE, Place
from whimbrel.cli.orders import shown_path
from whimbrel.cli.record import EMBEDDED, Record
from whimbrel.cli.screen import answer, say
from whimbrel.model.plan import Segment
from whimbrel.model.result import Outcome, Result


def show_result(place: Place, record: Record, result: Result) -> None:
    """Write a result and leave with its exit code."""
    command = command_here(place, record, result)
    result = result.model_copy(update={"message": told_here(place, record, result.message)})
    for warning in result.warnings:
        say(f"warning: {warning}")
    if result.exit_code() == 0:
        answer(place.form, as_data(record, result, command), f"{result.outcome}: {result.message}")
        return
    say(f"{result.outcome.value} ({result.reason}): {result.message}")
    if command:
        say(f"do: {command}")
        say_reminder(record)
    if result.holder is not None:
        say(f"if that run is gone for good: {_take_over(place, record)}")
    if place.form != "table":
        answer(place.form, as_data(record, result, command), "")
    raise typer.Exit(result.exit_code())


def as_data(record: Record, result: Result, command: str) -> dict[str, Any]:
    """Return a result as JSON and YAML show it."""
    content = result.model_dump(mode="json", by_alias=True, exclude={"plan"})
    gate = {"gate": token_of(record.gate)} if result.reason == "AwaitingApproval" else {}
    named = {"namespace": record.namespace, "name": record.name}
    return {**named, **content, **gate, "command": command}


def command_here(place: Place, record: Record, result: Result) -> str:
    """Return the one command for a human, as it works without a cluster."""
    if result.command.startswith("kubectl patch") and "allowDataLoss" in result.command:
        return f"{_way_on(place, record, result)} --allow-data-loss --by WHO --reason TEXT"
    if result.reason == "RollbackFailed":
        return _way_on(place, record, result)
    if result.outcome is Outcome.NOT_FINISHED and not result.command:
        return going_on(place, record)
    if result.command.startswith("whimbrel "):
        return result.command + state_dir_option(place)
    return result.command


def told_here(place: Place, record: Record, sentence: str) -> str:
    """Return a sentence whose commands for the object work without a cluster."""
    told = rf"whimbrel \w+ {re.escape(record.name)} -n {re.escape(record.namespace)}(?![\w-])"
    return re.sub(told, lambda found: found[0] + state_dir_option(place), sentence)


def _take_over(place: Place, record: Record) -> str:
    words = ("whimbrel", "resolve", record.name, "-n", record.namespace, "--as", "TakeOver")
    return shlex.join([*words, "--by", "WHO", "--reason", "TEXT"]) + state_dir_option(place)


def going_on(place: Place, record: Record) -> str:
    """Return the command that goes on with the object's run."""
    run = record.run
    here = shown_path(record.manifest, Path.cwd())
    words = ["whimbrel", "run", here]
    if run is not None and run.segment is Segment.ROLLBACK:
        words = ["whimbrel", "rollback", record.name, "-n", record.namespace]
        words += ["--to", run.to] if run.to else []
    return shlex.join(words) + state_dir_option(place)


def _way_on(place: Place, record: Record, result: Result) -> str:
    """Return the command that goes on; from a way back that is stuck, to where it was to lead.

    A new run would begin where the old one is stuck, and take back no more than that.
    """
    if result.reason != "RollbackFailed" or not result.target:
        return going_on(place, record)
    words = ("whimbrel", "rollback", record.name, "-n", record.namespace, "--to", result.target)
    return shlex.join(words) + state_dir_option(place)


def say_reminder(record: Record) -> None:
    """Say what a printed command cannot hold: the URL, of which the record keeps no password."""
    if record.database != EMBEDDED and not os.environ.get(URL_VARIABLE):
        say(f"(with the same --url, or {URL_VARIABLE} set)")


def state_dir_option(place: Place) -> str:
    """Return the option that finds the record again, where it is not in the default place."""
    if place.state_dir == STATE_DIR:
        return ""
    return f" --state-dir {shlex.quote(str(place.state_dir))}"
