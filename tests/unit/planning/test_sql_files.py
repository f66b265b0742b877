"""Files of a project: paired, ordered, refused in one sentence."""

from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from whimbrel.model.errors import RefusedError
from whimbrel.planning.sql_files import MAX_FILE_BYTES, find_version, meant_here, read_files

UP = "SELECT 1"


def test_files_are_ordered_by_their_number():
    files = {f"{n}_x.up.sql": UP for n in ("10", "9", "0011", "002")}
    assert [file.version for file in read_files(files)] == ["002", "9", "10", "0011"]


def test_up_and_down_are_paired():
    (file,) = read_files({"001_a.up.sql": UP, "001_a.down.sql": "SELECT 2"})
    assert (file.name, file.up, file.down) == ("001_a.up.sql", UP, "SELECT 2")
    assert len(file.checksum) == 64


def test_checksum_is_that_of_the_up_text_alone():
    (one,) = read_files({"001_a.up.sql": UP, "001_a.down.sql": "SELECT 2"})
    (two,) = read_files({"001_a.up.sql": UP})
    (three,) = read_files({"001_a.up.sql": UP + " "})
    assert one.checksum == two.checksum != three.checksum


@pytest.mark.parametrize(
    ("files", "reason", "words"),
    [
        pytest.param({}, "NoFiles", "NNN_name.up.sql", id="no files"),
        pytest.param({"a.sql": UP}, "BadFileName", "'a.sql'", id="no number"),
        pytest.param({"001_a.sql": UP}, "BadFileName", "001_a.sql", id="neither up nor down"),
        pytest.param({"001.up.sql": UP}, "BadFileName", "001.up.sql", id="no name"),
        pytest.param({"-1_a.up.sql": UP}, "BadFileName", "-1_a", id="a negative number"),
        pytest.param({"٣_a.up.sql": UP}, "BadFileName", "_a", id="digits of another script"),
        pytest.param(
            {"1_a.up.sql": UP, "001_b.up.sql": UP}, "SameNumber", "001_b.up.sql and 1_a.up.sql",
            id="two files with the same number",
        ),
        pytest.param({"001_a.down.sql": UP}, "DownWithoutUp", "001_a.down.sql", id="no up"),
        pytest.param(
            {"001_a.up.sql": UP, "001_b.down.sql": UP}, "DownWithoutUp", "name it 001_a.down.sql",
            id="down of another name",
        ),
        pytest.param({"001_a.up.sql": "a\0b"}, "NulByte", "001_a.up.sql", id="NUL byte"),
        pytest.param({"001_a.up.sql": " \n"}, "EmptyFile", "001_a.up.sql", id="empty file"),
        pytest.param({"001_a.up.sql": "\udcff"}, "NotUtf8", "001_a.up.sql", id="not UTF-8"),
        pytest.param(
            {"001_a.up.sql": "x" * (MAX_FILE_BYTES + 1)}, "FileTooLarge", "4 MiB", id="a huge file"
        ),
    ],
)  # fmt: skip
def test_refusals(files, reason, words):
    with pytest.raises(RefusedError) as refused:
        read_files(files)
    assert refused.value.reason == reason
    assert words in refused.value.message
    assert "\n" not in refused.value.message
    assert "\0" not in refused.value.message


@pytest.mark.parametrize("wanted", ["5", "005", "005_users", "005_users.up.sql"])
def test_versions_may_be_written_in_several_ways(wanted):
    assert find_version(wanted, {(5, ""): "005_users.up.sql"}) == (5, "")


@pytest.mark.parametrize("wanted", ["6", "005_other", "head", "", "5x", "-5", "users"])
def test_unknown_versions(wanted):
    assert find_version(wanted, {(5, ""): "005_users.up.sql"}) is None


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5))
def test_any_files_are_read_or_refused(files):
    with suppress(RefusedError):
        assert len(read_files(files)) <= len(files)


SHARED = {"001_a.up.sql": UP, "001_a.down.sql": "SELECT 0"}
MARIADB = {"001_a.mariadb.up.sql": "SELECT 'm'", "001_a.mariadb.down.sql": "SELECT 'back'"}
MYSQL = {"001_a.mysql.up.sql": "SELECT 'my'"}
POSTGRESQL = {"001_a.postgresql.up.sql": "SELECT 'p'"}


@pytest.mark.parametrize(
    ("files", "variants", "name", "down"),
    [
        pytest.param(
            SHARED | MARIADB | MYSQL, ("mariadb", "mysql"), "001_a.mariadb.up.sql", "SELECT 'back'",
            id="the best fit",
        ),
        pytest.param(
            SHARED | MYSQL, ("mariadb", "mysql"), "001_a.mysql.up.sql", None,
            id="a way back belongs to its own variant",
        ),
        pytest.param(
            SHARED | MARIADB, ("postgresql",), "001_a.up.sql", "SELECT 0",
            id="the file for every other kind",
        ),
        pytest.param(
            POSTGRESQL | MARIADB, (), "001_a.mariadb.up.sql", "SELECT 'back'",
            id="whichever is there, where nobody knows the server",
        ),
    ],
)  # fmt: skip
def test_the_file_for_the_kind_of_server_is_taken(files, variants, name, down):
    (file,) = read_files(meant_here(files, variants))
    assert (file.version, file.name, file.down) == ("001", name, down)


def test_a_migration_for_another_kind_of_server_alone_is_refused():
    with pytest.raises(RefusedError, match=r"write 001_a\.mariadb\.up\.sql") as refused:
        meant_here(POSTGRESQL, ("mariadb", "mysql"))
    assert refused.value.reason == "VariantMissing"
