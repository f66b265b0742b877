"""The answer of a Pod: in the file of the termination message, and as short as it has to be."""

from pathlib import Path

import pytest

from tests.unit.model.test_result import fattest
from whimbrel.model.result import MESSAGE_LIMIT, decode_result
from whimbrel.runner import entry


@pytest.mark.parametrize("told", [None, 2048])
def test_the_message_is_as_short_as_the_pod_says(
    told: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    written = tmp_path / "termination-log"
    monkeypatch.setenv("WHIMBREL_TERMINATION_LOG", str(written))
    if told is not None:
        monkeypatch.setenv("WHIMBREL_MESSAGE_BYTES", str(told))
    monkeypatch.setattr(entry.mounts, "read_order", lambda root: None)
    monkeypatch.setattr(entry, "stop_on_signals", lambda: None)
    result = fattest("x")
    assert entry.answer(lambda *_: result) == 3
    text = written.read_bytes()
    assert len(text) <= (told or MESSAGE_LIMIT)
    assert decode_result(text.decode()).reason == result.reason
