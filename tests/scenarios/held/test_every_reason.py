"""No question to a person without a test that answers it as printed."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.scenarios.terminal import ROOT

PACKAGE: Final = ROOT / "operator/whimbrel"
# Reasons that are no text where they are given, and what they can be there.
PASSED_ON: Final = {
    # rollback.onFailure is Manual: the reason of what failed.
    "roll_back.py: error.reason": {
        *("StatementFailed", "LockHeldTooLong"),  # step_failure.py
        "ToolFailed",  # tool_attempt.py
        *("JournalFull", "JournalUnseen"),  # quota.py
    },
    # Refused after an attempt has begun: any reason of a refusal, and this one stands for them.
    "midway.py: error.reason": {"SyntaxError"},
    "tool_attempt.py: error.reason": {"BookkeepingAmbiguous", "BookkeepingNotReadable"},
    # The controller shows what a Job answered: the runner's own reasons.
    "settled.py: last.reason": set(),
    # A restore that did not come to its end: the reason of what stopped it.
    "restoring.py: held.reason": set(),
    # A checkpoint that lost its worth meanwhile: the reasons of watch.py, with the ways on.
    "protect.py: error.reason": set(),
}
CHECKS: Final = {"held", "held_in_cluster"}


def asked(path: Path) -> set[str]:
    """Return the reasons for which a module asks a person."""
    module = ast.parse(path.read_text())
    texts = dict(constants(module))
    found: set[str] = set()
    for call in (node for node in ast.walk(module) if isinstance(node, ast.Call)):
        for word in reasons_of(call):
            text = word.value if isinstance(word, ast.Constant) else texts.get(ast.unparse(word))
            found |= {text} if text else PASSED_ON[f"{path.name}: {ast.unparse(word)}"]
    return found


def constants(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of a module that stand for a text."""
    for node in module.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant):
            yield ast.unparse(node.target), node.value.value


def reasons_of(call: ast.Call) -> Iterator[ast.expr]:
    """Yield what stands for the reason, where a call asks a person."""
    name = ast.unparse(call.func).rpartition(".")[2]
    if name == "HeldError" or (name == "Hold" and holds(call)):
        yield call.args[0]
    for outcome, reason in zip(call.args, call.args[1:], strict=False):
        if ast.unparse(outcome) == "Outcome.HELD":
            yield reason


def holds(call: ast.Call) -> bool:
    """Tell whether a decision `Hold` may be shown as the phase Held, which it is by itself."""
    given = [each.value for each in call.keywords if each.arg == "phase"] + call.args[3:]
    phases = [ast.unparse(each) for each in given]
    return not any(each.startswith("Phase.") and each != "Phase.HELD" for each in phases)


def answered(module: ast.Module) -> set[str]:
    """Return the reasons that a test checks, where it also obeys what was printed."""
    found: set[str] = set()
    for test in module.body:
        calls = [node for node in ast.walk(test) if isinstance(node, ast.Call)]
        names = [ast.unparse(call.func) for call in calls]
        if getattr(test, "name", "").startswith("test_") and "obey" in " ".join(names):
            checks = [call for call in calls if ast.unparse(call.func) in CHECKS]
            found |= {check.args[1].value for check in checks}
    return found


def every_reason() -> set[str]:
    return set().union(*map(asked, PACKAGE.rglob("*.py")))


def test_every_reason_is_reached_and_its_command_obeyed():
    tests = [ast.parse(path.read_text()) for path in Path(__file__).parent.glob("test_*.py")]
    tested = set().union(*map(answered, tests))
    assert sorted(every_reason() ^ tested) == []


def test_reasons_are_found_in_every_form_and_only_where_a_person_is_asked():
    found = every_reason()
    assert {"HalfDone", "SalvageDoesNotFit", "RunClosed", "JobNameTaken"} <= found
    assert not found & {"InvalidSpec", "RolledBack", "Waiting"}


def test_a_reason_counts_only_in_a_test_that_obeys():
    text = "def {}():\n    held(said, 'Why')\n    {}(terminal, said)\n"
    assert answered(ast.parse(text.format("test_it", "obey"))) == {"Why"}
    assert answered(ast.parse(text.format("test_it", "look"))) == set()
    assert answered(ast.parse(text.format("it", "obey"))) == set()
