"""What an error of MariaDB means, and that its words hold no row."""

import pytest

from whimbrel.planning.dialects.fates import Fate
from whimbrel.planning.dialects.mariadb_errors import fate_of, without_values


@pytest.mark.parametrize(
    ("number", "fate"),
    [
        pytest.param(1146, Fate.PERMANENT, id="no such table"),
        pytest.param(1205, Fate.HEALS, id="a lock was not to be had"),
        pytest.param(1317, Fate.HEALS, id="cancelled"),
        pytest.param(1213, Fate.HEALS, id="dead-lock"),
        pytest.param(2013, Fate.UNKNOWN, id="the connection is gone"),
        pytest.param(0, Fate.UNKNOWN, id="the driver's own words"),
    ],
)
def test_fate(number: int, fate: Fate):
    assert fate_of(number) is fate


@pytest.mark.parametrize(
    ("number", "text", "told"),
    [
        (1062, "Duplicate entry 'a' for 'b' for key 'k'", "Duplicate entry for key 'k'"),
        (1366, "Incorrect integer value: 'x' for column `s`.`t`.`v` at row 1",
         "Incorrect integer value for column `s`.`t`.`v` at row 1"),
        (1146, "Table 'shop.t' doesn't exist", "Table 'shop.t' doesn't exist"),
    ],
)  # fmt: skip
def test_no_value_of_a_row_is_told(number: int, text: str, told: str):
    assert without_values(number, text) == told
