"""Every example is a manifest that the model takes; tests/cluster asks the API server."""

from pathlib import Path

import pytest
import yaml

from whimbrel.model.spec import parse_spec

FOLDER = Path(__file__).parents[2] / "examples"
RELEASES = sorted(FOLDER.glob("blue-green/**/release-*.yaml"))
EXAMPLES = [*sorted(FOLDER.glob("*.yaml")), *RELEASES]


def objects(path: Path) -> list[dict]:
    """Return the DatabaseMigrations of a file."""
    documents = yaml.safe_load_all(path.read_text())
    return [each for each in documents if each["kind"] == "DatabaseMigration"]


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} >= {
        *("sql", "sql-inline", "sql-configmap", "sql-mariadb"),
        *("alembic", "django", "prisma", "prisma-mariadb", "sequelize", "typeorm"),
        *("approval", "checkpoint", "rollback", "rolling"),
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_manifest(path: Path):
    (found,) = objects(path)
    assert found["apiVersion"] == "whimbrel.dev/v1alpha1"
    assert parse_spec(found["spec"])


def test_the_rollback_is_that_of_the_inline_example():
    specs = {path.stem: objects(path)[0]["spec"]["migrations"] for path in EXAMPLES}
    assert specs["rollback"]["inline"] == specs["sql-inline"]["inline"]


def test_each_release_of_the_blue_green_example_keeps_the_files_of_the_one_before():
    files = [objects(path)[0]["spec"]["migrations"]["inline"]["files"] for path in RELEASES]
    assert [path.stem for path in RELEASES] == ["release-3", "release-1", "release-2"]
    third, first, second = files
    assert first.items() < second.items() < third.items()


def test_the_rolling_example_is_the_second_release_of_the_same_shop():
    specs = {path.stem: objects(path)[0]["spec"] for path in EXAMPLES}
    assert specs["rolling"]["migrations"] == specs["release-2"]["migrations"]
    (ref,) = specs["rolling"]["strategy"]["rolling"]["workloadRefs"]
    green = specs["release-2"]["strategy"]["blueGreen"]["green"]
    assert ref["image"] == green["workloadRef"]["image"]


def test_the_active_service_of_the_blue_green_example_has_no_selector_and_names_the_object():
    for path, name in (("service", "shop-2"), ("next/service", "shop-3")):
        active, preview = yaml.safe_load_all((FOLDER / f"blue-green/{path}.yaml").read_text())
        assert "selector" not in active["spec"]
        assert active["metadata"]["annotations"] == {"whimbrel.dev/managed-by": name}
        release = FOLDER / "blue-green" / path.replace("service", f"release-{name[-1]}.yaml")
        green = objects(release)[0]["spec"]["strategy"]["blueGreen"]["green"]
        assert preview["spec"]["selector"] == green["selector"]


@pytest.mark.parametrize("tool", ["alembic", "django", "sequelize", "typeorm"])
def test_the_image_of_an_example_has_a_driver_for_each_kind_of_server(tool: str):
    python = tool in ("alembic", "django")
    where = FOLDER / "tools" / tool / ("Dockerfile" if python else "package.json")
    lines = [line for line in where.read_text().splitlines() if not line.startswith("#")]
    installed = "\n".join(lines)
    for drivers in (('"psycopg[binary]', '"pg"'), ('"pymysql', '"mariadb"', '"mysql2"')):
        assert any(each in installed for each in drivers), (tool, drivers)
