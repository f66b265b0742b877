"""What must be true of the tree as a whole."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests import shape
from whimbrel.model.spec import Spec

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator/whimbrel"


def test_operator_is_no_package():
    # It would hide the standard library's module `operator` from everything on the path.
    assert not (ROOT / "operator/__init__.py").exists()


def fields(model: type[BaseModel], path: str = "spec") -> Iterator[tuple[str, str]]:
    """Yield path and Python name of every field below a model, lists and unions included."""
    for name, field in model.model_fields.items():
        here = f"{path}.{field.alias or name}"
        yield here, name
        for below in models_in(field.annotation):
            yield from fields(below, here)


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the models that a type speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from models_in(part)


def test_the_walk_finds_fields_in_lists_and_options():
    found = dict(fields(Spec))
    assert found["spec.migrations.env.valueFrom.secretKeyRef.key"] == "key"
    assert found["spec.job.tolerations.effect"] == "effect"


BAD = '''\
"""A module."""


def documented() -> None:
    """Print."""
    print("x")


def undocumented() -> None:
    import os


class Public:
    """Documented."""

    def method(self) -> None:
        try:
            pass
        except Exception:
            pass
'''


@pytest.mark.parametrize(
    "complaint",
    [
        ":6: print",
        ":9: undocumented has no docstring",
        ":10: import inside a function",
        ":16: method has no docstring",
        ":19: except that catches everything",
        ":23 long: 42 lines, the budget is 40",
        ": 401 lines, the budget is 400",
    ],
)
def test_the_shape_check_can_fail(tmp_path: Path, complaint: str):
    source = BAD + "\n\ndef long() -> None:\n" + "    x = 1\n" * 41
    (tmp_path / "bad.py").write_text(source + "\n" * (401 - source.count("\n")))
    assert any(line.endswith(complaint) for line in shape.broken_budgets(tmp_path))


def write_code(path: Path, lines: int) -> None:
    """Write a file with this many lines of code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('"""A."""\n' + "x = 1\n" * lines)


def test_a_tool_is_measured_with_its_wrapper_and_apart_from_the_package(tmp_path: Path):
    write_code(tmp_path / "planning/tools/ant.py", 200)
    write_code(tmp_path / "planning/tools/bee.py", 200)
    write_code(tmp_path / "runner/wrappers/bee.py", 100)
    (tmp_path / "runner/wrappers/bee.js").write_text("// a comment\n\n" + "x();\n" * 51)
    write_code(tmp_path / "runner/bee.py", 200)
    assert shape.broken_budgets(tmp_path) == ["code of the tool bee: 351 lines, the budget is 350"]


def test_the_package_is_measured_without_its_tools(tmp_path: Path):
    write_code(tmp_path / "planning/tools/ant.py", 250)
    write_code(tmp_path / "planning/dialects/mariadb_words.py", 250)
    write_code(tmp_path / "planning/release/rules.py", 250)
    for number in range(6):
        write_code(tmp_path / f"planning/module{number}.py", 250)
    most = shape.LAYERS_MOST["planning"]
    write_code(tmp_path / "planning/last.py", most - 6 * 250)
    assert shape.broken_budgets(tmp_path) == []
    write_code(tmp_path / "planning/one_more.py", 1)
    (line,) = shape.broken_budgets(tmp_path)
    assert line == f"code of planning: {most + 1} lines, the budget is {most}"


def test_a_release_is_measured_across_layers(tmp_path: Path):
    for number in range(4):
        write_code(tmp_path / f"machine/release/rule{number}.py", 280)
        write_code(tmp_path / f"runner/probes/probe{number}.py", 280)
    write_code(tmp_path / "controller/release/look.py", shape.RELEASE_MOST - 8 * 280)
    assert shape.broken_budgets(tmp_path) == []
    write_code(tmp_path / "model/release/word.py", 1)
    (line,) = shape.broken_budgets(tmp_path)
    most = shape.RELEASE_MOST
    assert line == f"code of the release: {most + 1} lines, the budget is {most}"


def test_a_checkpoint_is_measured_across_layers(tmp_path: Path):
    most = shape.CHECKPOINT_MOST
    write_code(tmp_path / "model/checkpoint.py", most - 8 * (242 + 255))
    for number in range(8):
        write_code(tmp_path / f"planning/checkpoint/rung{number}.py", 242)
        write_code(tmp_path / f"runner/checkpoint/effect{number}.py", 255)
    assert shape.broken_budgets(tmp_path) == []
    write_code(tmp_path / "machine/checkpoint/expiry.py", 1)
    (line,) = shape.broken_budgets(tmp_path)
    assert line == f"code of the checkpoint: {most + 1} lines, the budget is {most}"


def test_an_engine_is_measured_with_its_statements(tmp_path: Path):
    for number in range(4):
        write_code(tmp_path / f"runner/checkpoint/mariadb/effect{number}.py", 250)
        write_code(tmp_path / f"planning/dialects/mariadb_checkpoint_part{number}.py", 250)
    assert shape.broken_budgets(tmp_path) == []
    write_code(tmp_path / "runner/checkpoint/mariadb/one_more.py", 165)
    assert shape.broken_budgets(tmp_path) == []
    write_code(tmp_path / "runner/checkpoint/mariadb/and_one.py", 1)
    (line,) = shape.broken_budgets(tmp_path)
    assert line == "code of checkpoints on MariaDB: 2166 lines, the budget is 2165"


def test_a_dump_is_measured_apart_with_its_statements(tmp_path: Path):
    for number in range(4):
        write_code(tmp_path / f"runner/checkpoint/dump/effect{number}.py", 225)
    write_code(tmp_path / "planning/dialects/postgresql_dump.py", 200)
    write_code(tmp_path / "planning/dialects/postgresql_freeze.py", 200)
    assert shape.broken_budgets(tmp_path) == []
    write_code(tmp_path / "model/dump.py", 1)
    (line,) = shape.broken_budgets(tmp_path)
    assert line == "code of the dump: 1301 lines, the budget is 1300"


def test_a_dialect_is_measured_in_both_its_folders(tmp_path: Path):
    package = tmp_path / "whimbrel"
    for number in range(9):
        write_code(package / f"planning/dialects/mariadb_{number}.py", 270)
    most = shape.DIALECT_MOST
    write_code(package / "runner/mariadb_session.py", most + 1 - 9 * 270)
    write_code(package / "runner/postgresql_session.py", 250)
    (line,) = shape.broken_budgets(package)
    assert line == f"code of the dialect mariadb: {most + 1} lines, the budget is {most}"


SERVERS = re.compile(r"mariadb|mysql", re.IGNORECASE)
# Where a kind of server is chosen: by the URL, by a word of the resource, by the driver's
# exception, by a file's name; the step that only it has, how a login is lent to a tool, and which
# engine takes checkpoints.
NAMES_SERVERS = {
    "model/database.py", "planning/sql_dialects.py", "planning/sql_files.py", "runner/carry.py",
    "runner/checkpoint/engine.py", "runner/prepared_login.py", "runner/server_errors.py",
    "runner/servers.py", "runner/target.py", "runner/urls.py",
}  # fmt: skip


def test_nothing_else_names_a_second_kind_of_server():
    texts = {path: path.read_text() for path in PACKAGE.rglob("*.py")}
    found = [path for path in texts if SERVERS.search(texts[path])]
    own = (shape.dialect_of, shape.is_of_tools, shape.is_of_mariadb_checkpoint)
    others = {path for path in found if not any(is_own(path) for is_own in own)}
    assert {f"{path.relative_to(PACKAGE)}" for path in others} <= NAMES_SERVERS


TOOLS = re.compile(r"alembic|django|sequelize|typeorm|prisma", re.IGNORECASE)
NAMES_TOOLS = {"model/migrations.py"}  # the members of the resource


def test_nothing_else_names_a_tool():
    texts = {path: path.read_text() for path in PACKAGE.rglob("*.py")}
    found = {f"{path.relative_to(PACKAGE)}" for path in texts if TOOLS.search(texts[path])}
    others = {name for name in found if not shape.is_of_tools(PACKAGE / name)}
    assert others <= NAMES_TOOLS


def test_docstrings_comments_and_blank_lines_are_no_code(tmp_path: Path):
    path = tmp_path / "good.py"
    path.write_text(
        '"""A."""\n\n\ndef one() -> int:\n    """B.\n\n    C.\n    """\n\n    # D\n    return 1\n'
    )
    assert [size for _, size in shape.functions(shape.read_module(path))] == [2]
    assert shape.broken_budgets(tmp_path) == []


ERRORS = {"HeldError", "RefusedError", "FailedError", "TransientError", "Hold", "Done"}
# A warning stands in status as "Reason: sentence"; servers are what docstrings begin with.
WARNING = re.compile(r"(?!PostgreSQL|MariaDB)([A-Z][a-z]+(?:[A-Z]+[a-z]*)+): ")


def reasons(package: Path) -> set[str]:
    """Return every reason word that stands as text where an error or a decision is made."""
    return {
        word
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for word in reasons_of(node)
    }


def reasons_of(node: ast.AST) -> Iterator[str]:
    """Yield the reason words that a node of the program gives."""
    if isinstance(node, ast.Call):
        yield from reasons_of_call(node)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        found = WARNING.match(node.value)
        yield from found.groups() if found else ()


def reasons_of_call(call: ast.Call) -> Iterator[str]:
    """Yield the reason of an error (its first word), of a `Wait` or a `result` (the second)."""
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    position = 0 if name in ERRORS else 1 if name in {"Wait", "result"} else None
    if position is not None and len(call.args) > position:
        word = call.args[position]
        either = (word.body, word.orelse) if isinstance(word, ast.IfExp) else (word,)
        values = (getattr(each, "value", None) for each in either)
        yield from (each for each in values if isinstance(each, str))


def test_every_reason_word_is_explained():
    page = (ROOT / "docs/troubleshooting.md").read_text()
    assert sorted(word for word in reasons(PACKAGE) if f"`{word}`" not in page) == []


def test_reasons_of_results_and_warnings_are_found():
    assert {"RunClosed", "Looked", "RoleLeft", "WeakTLS", "DatabaseMoved"} <= reasons(PACKAGE)


def told_by_make(target: str) -> str:
    """Return the commands of a target of the Makefile, not carried out."""
    words = ("make", "--dry-run", "--always-make", "--no-print-directory", target)
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_make_soak_runs_what_make_test_leaves_out():
    """Each place of the tests once: the matrix, losses, no cluster, the cluster, there alone."""
    soak = told_by_make("soak").replace("\\\n", " ").splitlines()
    everything = [line for line in soak if "WHIMBREL_SOAK=1" in line and " -k " not in line]
    left_out = re.findall(r"-m '([^']+)'", "\n".join(everything))
    places = ("not cluster", "not cluster", "cluster and not alone", "cluster and alone")
    assert left_out == [f"(soak or sampled) and {place}" for place in places]
    assert "-m pytest" in everything[0]
    assert "tests/matrix" in everything[0].partition("#")[0]


def test_a_worker_of_make_soak_that_counts_kills_has_seen_them_all():
    """The rounds of a file and the test that counts their kills are in one process, in order."""
    soak = told_by_make("soak").replace("\\\n", " ").splitlines()
    losses, rest = [line for line in soak if "'(soak or sampled) and not cluster'" in line]
    assert "--dist loadfile" in losses
    assert losses.endswith(" tests/loss")
    assert {"--ignore=tests/loss", "--ignore=tests/matrix"} <= set(rest.split())


def test_every_measurement_that_is_described_has_its_target():
    described = re.findall(r"`make (bench-\w+)`", (ROOT / "bench/README.md").read_text())
    modules = {path.stem for path in (ROOT / "bench").glob("*.py")} - {"__init__", "ground"}
    assert {f"bench-{name}" for name in modules} == set(described)
    for target in described:
        assert f"-m {target.replace('-', '.')}\n" in told_by_make(target)
