import pytest

from whimbrel.cli.commands.new import next_number, write_pair
from whimbrel.model.errors import RefusedError
from whimbrel.planning.sql_files import read_files


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "001"),
        (["001_a.up.sql", "001_a.down.sql"], "002"),
        (["0009_a.up.sql", "0010_b.up.sql"], "0011"),
        (["999_a.up.sql"], "1000"),
        (["README.md", "7_x.down.sql"], "001"),
    ],
)
def test_next_number(names, expected):
    assert next_number(names) == expected


def test_the_pair_is_one_that_the_planner_reads(tmp_path):
    up, down = write_pair(tmp_path / "migrations", "Add e-mail!")
    assert (up.name, down.name) == ("001_add_e_mail.up.sql", "001_add_e_mail.down.sql")
    (file,) = read_files({path.name: path.read_text() + "SELECT 1;" for path in (up, down)})
    assert file.version == "001"
    assert write_pair(tmp_path / "migrations", "next")[0].name == "002_next.up.sql"


def test_a_name_without_a_letter_is_refused(tmp_path):
    with pytest.raises(RefusedError, match="no letter or digit"):
        write_pair(tmp_path, "!!!")
