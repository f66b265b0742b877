"""The ledger's own tables on MariaDB, which commits each statement that makes one."""

import pytest

from tests.db.test_mariadb import a_session
from whimbrel.model.errors import HeldError
from whimbrel.planning.dialects import mariadb_ledger as statements
from whimbrel.runner.ledger import Ledger, install_ledger, read_meta


def test_an_install_that_was_cut_off_before_its_row_is_begun_again(mariadb):
    with a_session(mariadb) as session:
        ledger = Ledger(session, "whimbrel")
        ledger.rows(statements.CREATE_META)
        assert read_meta(ledger) is None
        meta = install_ledger(ledger)
        assert meta.version == statements.LEDGER_VERSION
        ledger.rows("DELETE FROM {s}.meta")
        with pytest.raises(HeldError, match="meta is empty") as held:
            read_meta(ledger)
        assert held.value.reason == "LedgerDamaged"
