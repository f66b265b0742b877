import multiprocessing
import stat

import pytest

from whimbrel.cli.record import (
    LocalRun,
    Record,
    find_record,
    load_record,
    record_path,
    save_record,
    sole_worker,
)
from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.model.plan import Segment

RECORD = Record(
    namespace="team",
    name="shop.v1",
    uid="u",
    run=LocalRun(id="r", number=1, segment=Segment.MIGRATE, attempt=3),
)


def test_a_record_is_read_back_as_it_was_written(tmp_path):
    save_record(tmp_path, RECORD)
    assert load_record(tmp_path, "team", "shop.v1") == RECORD
    assert stat.S_IMODE(record_path(tmp_path, "team", "shop.v1").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "objects").iterdir()] == ["team.shop.v1.json"]


def test_no_record_is_none(tmp_path):
    assert load_record(tmp_path, "team", "shop") is None
    assert find_record(tmp_path, "", "shop") is None


def test_a_name_alone_is_enough_while_it_is_unambiguous(tmp_path):
    save_record(tmp_path, RECORD)
    assert find_record(tmp_path, "", "shop.v1") == RECORD
    assert find_record(tmp_path, "", "v1") is None
    save_record(tmp_path, RECORD.model_copy(update={"namespace": "other"}))
    with pytest.raises(RefusedError, match="known in other, team"):
        find_record(tmp_path, "", "shop.v1")


def test_a_damaged_record_is_refused(tmp_path):
    save_record(tmp_path, RECORD)
    record_path(tmp_path, "team", "shop.v1").write_text("{")
    with pytest.raises(RefusedError, match="is not a record"):
        load_record(tmp_path, "team", "shop.v1")


def hold(folder, held, release):
    with sole_worker(folder, "team", "shop"):
        held.set()
        release.wait(30)


def test_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, release))
    other.start()
    assert held.wait(30)
    with (
        pytest.raises(TransientError, match="another whimbrel process"),
        sole_worker(tmp_path, "team", "shop"),
    ):
        pass
    other.kill()
    other.join()
    with sole_worker(tmp_path, "team", "shop"):
        pass
