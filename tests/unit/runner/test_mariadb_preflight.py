"""Which servers are carried, by what they say of themselves."""

import pytest

from whimbrel.model.errors import RefusedError
from whimbrel.runner.mariadb_preflight import checked_version, warnings_of


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


def test_a_server_newer_than_the_newest_that_was_tried_is_a_warning():
    assert warnings_of((11, 4)) == ()
    (told,) = warnings_of((11, 8))
    assert told == "ServerUntested: MariaDB 11.8 is newer than 11.4, the newest tested"


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
