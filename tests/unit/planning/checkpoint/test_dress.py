"""Statements say what differs, and names are quoted."""

import pytest

from whimbrel.planning.checkpoint.dress import comment, rights
from whimbrel.planning.dialects.postgresql_dependents import Raw, fill

READ = ["app", "SELECT", False]


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        pytest.param([READ], [READ], [], id="the same: nothing"),
        pytest.param(None, None, [], id="nobody: nothing"),
        pytest.param([READ], None, ['GRANT SELECT ON TABLE x TO "app"'], id="lost: granted"),
        pytest.param(
            None, [["", "SELECT", False]], ["REVOKE ALL ON TABLE x FROM PUBLIC"], id="new: taken"
        ),
        pytest.param(
            [["app", "SELECT", False], ["app", "UPDATE", True]],
            [READ],
            [
                'REVOKE ALL ON TABLE x FROM "app"',
                'GRANT SELECT ON TABLE x TO "app"',
                'GRANT UPDATE ON TABLE x TO "app" WITH GRANT OPTION',
            ],
            id="other rights: from the start",
        ),
    ],
)
def test_rights(then, now, expected):
    assert rights("TABLE x", then, now) == expected


def test_rights_on_a_column_name_it_each_time():
    then = [["app", "SELECT", False], ["app", "UPDATE", False]]
    assert rights("TABLE x", then, None, 'odd "one') == [
        'GRANT SELECT ("odd ""one"), UPDATE ("odd ""one") ON TABLE x TO "app"'
    ]


def test_comment_is_given_and_taken():
    assert comment("TABLE x", {"comment": "it's"}, {}) == ["COMMENT ON TABLE x IS 'it''s'"]
    assert comment("TABLE x", {}, {"comment": "a"}) == ["COMMENT ON TABLE x IS NULL"]
    assert comment("TABLE x", {"comment": "a"}, {"comment": "a"}) == []


def test_values_that_look_like_templates_stay_what_they_are():
    assert fill("{a} {b} {c}", a="{b}", b=("x", "{c}"), c=Raw("{a}")) == '"{b}" "x"."{c}" {a}'
