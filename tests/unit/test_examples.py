"""Every example is a manifest that the model takes; tests/cluster asks the API server."""

from pathlib import Path

import pytest
import yaml

from whimbrel.model.spec import parse_spec

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


def objects(path: Path) -> list[dict]:
    """Return the DatabaseMigrations of a file."""
    documents = yaml.safe_load_all(path.read_text())
    return [each for each in documents if each["kind"] == "DatabaseMigration"]


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} >= {
        *("sql-inline", "sql-configmap", "sql-mariadb"),
        *("alembic", "django", "prisma", "prisma-mariadb", "sequelize", "typeorm"),
        *("approval", "rollback"),
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_manifest(path: Path):
    (found,) = objects(path)
    assert found["apiVersion"] == "whimbrel.dev/v1alpha1"
    assert parse_spec(found["spec"])


def test_the_rollback_is_that_of_the_inline_example():
    specs = {path.stem: objects(path)[0]["spec"]["migrations"] for path in EXAMPLES}
    assert specs["rollback"]["inline"] == specs["sql-inline"]["inline"]
