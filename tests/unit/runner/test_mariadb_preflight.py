"""Which servers are carried, by what they say of themselves."""

import pytest

from whimbrel.model.errors import RefusedError
from whimbrel.runner.mariadb_preflight import checked_version


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.6.0-MariaDB", (10, 6)),
        ("10.11.19-MariaDB-0+deb12u1", (10, 11)),
        ("5.5.5-11.4.2-MariaDB-log", (11, 4)),
    ],
)
def test_a_server_is_carried(text: str, found: tuple[int, int]):
    assert checked_version(text) == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("10.5.29-MariaDB", "ServerTooOld"),
        ("8.0.36", "NotMariaDB"),
        ("9.1.0-commercial", "NotMariaDB"),
    ],
)
def test_a_server_is_refused_in_one_sentence(text: str, reason: str):
    with pytest.raises(RefusedError) as refused:
        checked_version(text)
    assert refused.value.reason == reason
