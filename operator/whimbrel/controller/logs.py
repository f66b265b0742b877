"""Logs as one JSON object a line; the object that a turn is about is bound once."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

SUBJECT: Final[ContextVar[str]] = ContextVar("subject", default="")


class JsonFormatter(logging.Formatter):
    """Formats a record for a log collector."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "object": SUBJECT.get(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps({key: value for key, value in entry.items() if value})


def set_up_logs(level: str) -> None:
    """Send everything to standard error as JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # kopf logs each body at debug and each handler's success at info: not ours to repeat.
    logging.getLogger("kopf.objects").setLevel(logging.ERROR)
