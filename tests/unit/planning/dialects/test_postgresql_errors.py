"""Which errors are tried again."""

import pytest

from tests.quoted_values import of_each
from whimbrel.planning.dialects.postgresql_errors import FATES, Fate, fate_of, without_values


@pytest.mark.parametrize(
    ("sqlstate", "fate"),
    [
        pytest.param("22012", Fate.PERMANENT, id="division by zero"),
        pytest.param("23505", Fate.PERMANENT, id="unique violation"),
        pytest.param("42P01", Fate.PERMANENT, id="undefined table"),
        pytest.param("42501", Fate.PERMANENT, id="insufficient privilege"),
        pytest.param("2BP01", Fate.PERMANENT, id="dependent objects"),
        pytest.param("0A000", Fate.PERMANENT, id="not supported"),
        pytest.param("25001", Fate.PERMANENT, id="cannot run inside a transaction"),
        pytest.param("25006", Fate.HEALS, id="read-only: a standby"),
        pytest.param("55000", Fate.PERMANENT, id="not in prerequisite state"),
        pytest.param("55P03", Fate.HEALS, id="lock not available"),
        pytest.param("57014", Fate.HEALS, id="cancelled"),
        pytest.param("40001", Fate.HEALS, id="serialization failure"),
        pytest.param("40P01", Fate.HEALS, id="dead-lock"),
        pytest.param("40003", Fate.UNKNOWN, id="completion unknown"),
        pytest.param("53100", Fate.HEALS, id="disk full"),
        pytest.param("53300", Fate.HEALS, id="too many connections"),
        pytest.param("28P01", Fate.HEALS, id="wrong password"),
        pytest.param("3D000", Fate.HEALS, id="no such database"),
        pytest.param("57P03", Fate.HEALS, id="cannot connect now"),
        pytest.param("57P01", Fate.UNKNOWN, id="terminated"),
        pytest.param("08006", Fate.UNKNOWN, id="connection failure"),
        pytest.param(None, Fate.UNKNOWN, id="the connection broke"),
        pytest.param("", Fate.UNKNOWN, id="no code"),
        pytest.param("XX000", Fate.PERMANENT, id="internal error"),
        pytest.param("P0001", Fate.PERMANENT, id="raise exception"),
    ],
)
def test_fate(sqlstate, fate):
    assert fate_of(sqlstate) is fate


def test_codes_are_classes_or_whole_codes():
    assert {len(code) for code in FATES} == {2, 5}


@of_each
def test_what_is_quoted_of_a_row_is_cut(sqlstate: str, text: str, shown: str):
    assert without_values(sqlstate, text) == shown
