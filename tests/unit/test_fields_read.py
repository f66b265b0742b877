"""No field of the spec that no code reads, as mypy sees it.

In a copy of the package each field is turned into a deprecated property of the same type; mypy then
names every place that reads one, by its class. The same name on another class hides nothing.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests.unit.test_layout import ROOT, models_in
from whimbrel.model.spec import Spec

# Where the fields are declared, checked and generated from; an access there reads nothing.
DECLARING = {
    "spec.py", "migrations.py", "bounds.py", "database.py", "job_options.py", "crd.py",
    "reference.py", "health.py", "strategy.py", "workloads.py",
}  # fmt: skip
# `Migrations.files` hands them on: who reads it reads the one of the tool.
# And what a function beside the model reads for all others (`checks_at`, `BlueGreen.identity_of`).
HANDED_ON = {
    ("Migrations", "sql"),
    ("Migrations", "prisma"),
    ("HealthCheck", "when"),
    ("Version", "name"),
}
READ = re.compile(r"^(\S+?):\d+: error: .* is deprecated: (\w+)\.(\w+)", re.MULTILINE)
# Of libraries pydantic alone is looked into: the models are made of it. What only passes through
# another one counts as not read.
SETTINGS = """
[mypy]
strict = True
explicit_package_bases = True
plugins = pydantic.mypy
enable_error_code = deprecated
ignore_missing_imports = True
follow_imports = skip
[mypy-pydantic.*,pydantic_core.*,annotated_types.*]
follow_imports = silent
[mypy-postgast.*]
follow_imports_for_stubs = True
"""
IMPORT = ast.parse("from typing_extensions import deprecated as _watched").body[0]


def every_model(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a model and all that its fields speak of."""
    yield model
    for field in model.model_fields.values():
        for below in models_in(field.annotation):
            yield from every_model(below)


def watched(field: ast.AnnAssign, model: str) -> ast.stmt:
    """Return a property in place of a field: mypy tells who reads it."""
    assert isinstance(field.target, ast.Name)
    name, kind = field.target.id, ast.unparse(field.annotation)
    text = f"@property\n@_watched('{model}.{name}')\ndef {name}(self) -> {kind}: ..."
    return ast.parse(text).body[0]


def watched_dump(model: str) -> ast.stmt:
    """Return a `model_dump` that tells who calls it: it hands every field on as it is."""
    kind = "def model_dump(self, **_: object) -> dict[str, str]: ..."
    return ast.parse(f"@_watched('{model}.model_dump')\n{kind}").body[0]


def watch(module: Path, models: set[str]) -> None:
    """Rewrite the models of a module."""
    tree = ast.parse(module.read_text())
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in models:
            node.body = [
                watched(each, node.name) if isinstance(each, ast.AnnAssign) else each
                for each in node.body
            ]
            node.body.append(watched_dump(node.name))
    tree.body.insert(1, IMPORT)  # after the docstring
    module.write_text(ast.unparse(tree))


def reads_in(folder: Path, models: set[type[BaseModel]]) -> set[tuple[str, str]]:
    """Return (model, field) for every field that code of a copied package reads."""
    for name in {each.__module__ for each in models}:
        module = folder / f"{name.replace('.', '/')}.py"
        watch(module, {each.__name__ for each in models if each.__module__ == name})
    (folder / "mypy.ini").write_text(SETTINGS)
    words = ("--config-file", folder / "mypy.ini", "--cache-dir", os.devnull, "--no-pretty")
    told = subprocess.run(
        [sys.executable, "-m", "mypy", *words, folder / "whimbrel"],
        cwd=folder,
        env={"MYPYPATH": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = READ.findall(told)
    assert found, told
    return {(model, field) for path, model, field in found if Path(path).name not in DECLARING}


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("watched")
    shutil.copytree(ROOT / "operator/whimbrel", folder / "whimbrel")
    # Nobody reads `Limits.name`, although other models have a `name` that is read.
    spec = folder / "whimbrel/model/spec.py"
    spec.write_text(
        spec.read_text().replace("    lock_hold: Dur", '    name: str = ""\n    lock_hold: Dur')
    )
    return folder


def test_every_field_of_the_spec_is_read_and_one_that_is_not_is_found(package: Path):
    models = set(every_model(Spec))
    fields = {(each.__name__, name) for each in models for name in each.model_fields}
    read = reads_in(package, models)
    dumped = {model for model, name in read if name == "model_dump"}
    read |= {(model, name) for model, name in fields if model in dumped}
    assert "migrations.files.path" in (package / "whimbrel/machine/pods.py").read_text()
    read |= HANDED_ON
    assert sorted((fields | {("Limits", "name")}) - read) == [("Limits", "name")]
