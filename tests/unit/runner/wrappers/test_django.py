"""The URL over the project's own settings, without a database."""

from urllib.parse import urlsplit

import pytest

from whimbrel.runner.wrappers.django import database

POSTGRESQL = "django.db.backends.postgresql"
POSTGIS = "django.contrib.gis.db.backends.postgis"


@pytest.mark.parametrize(
    ("url", "theirs", "expected"),
    [
        pytest.param(
            "postgresql://u%40x:p%2F%25@h:5433/d%20b?sslmode=require",
            {},
            {"ENGINE": POSTGRESQL, "USER": "u@x", "PASSWORD": "p/%", "HOST": "h", "PORT": "5433",
             "NAME": "d b", "OPTIONS": {"sslmode": "require"}},
            id="every part is decoded",
        ),
        pytest.param(
            "postgresql://u@/d?host=%2Frun%2Fpg&port=5432",
            {},
            {"HOST": "/run/pg", "PORT": "5432", "OPTIONS": {}, "PASSWORD": ""},
            id="a socket",
        ),
        pytest.param(
            "postgresql://u@[::1]:5432/d", {}, {"HOST": "::1", "PORT": "5432"}, id="IPv6"
        ),
        pytest.param(
            "postgresql://u@h/d",
            {"ENGINE": POSTGIS, "ATOMIC_REQUESTS": True, "OPTIONS": {"pool": True, "x": 1}},
            {"ENGINE": POSTGIS, "ATOMIC_REQUESTS": True, "OPTIONS": {"x": 1}},
            id="an engine of somebody else's and what is no address stay",
        ),
        pytest.param(
            "postgresql://u@h/d",
            {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"timeout": 5}},
            {"ENGINE": POSTGRESQL, "OPTIONS": {}},
            id="another kind of database and its options go",
        ),
        pytest.param(
            "postgresql://u@h/d?options=-cb%3D2",
            {"ENGINE": POSTGRESQL, "OPTIONS": {"options": "-ca=1"}},
            {"OPTIONS": {"options": "-ca=1 -cb=2"}},
            id="options of both, ours last",
        ),
    ],
)  # fmt: skip
def test_the_url_goes_over_the_address(url: str, theirs: dict, expected: dict):
    found = database(urlsplit(url), theirs)
    assert {name: found[name] for name in expected} == expected
