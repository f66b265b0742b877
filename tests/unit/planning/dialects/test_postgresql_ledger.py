"""The ledger's statements hold what the design promises, whatever the schema is called."""

import pytest

from whimbrel.planning.dialects import postgresql_ledger as ledger

STATEMENTS = {
    name: value
    for name, value in vars(ledger).items()
    if name.isupper() and isinstance(value, str) and "{s}" in value
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_names_its_schema(name):
    text = ledger.in_schema(STATEMENTS[name], 'my "ledger"')
    assert '"my ""ledger"""' in text
    assert "{s}" not in text


def test_there_is_a_way_from_every_version_to_the_newest():
    assert sorted(ledger.UPGRADES) == list(range(ledger.LEDGER_VERSION))


def test_upgrades_only_add():
    words = " ".join(text for step in ledger.UPGRADES.values() for text in step).upper()
    assert not any(word in words for word in ("DROP ", "RENAME ", "TRUNCATE ", "DELETE "))


def test_epoch_and_lock_are_asked_in_one_statement():
    text = ledger.CHECK_STEP
    assert "FOR SHARE" in text
    assert "pg_locks" in text
    assert ";" not in text
