"""Errors whose class says what happens next. The text talks to the author of the object."""


class WhimbrelError(Exception):
    """Something went wrong, and the sentence in it is fit for a status, an event and a terminal.

    Attributes:
        reason: CamelCase word for conditions and events.
        message: One sentence without secrets that says what to change or what happens next.
        command: The one command for a human, or "".
    """

    def __init__(self, reason: str, message: str, *, command: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.command = command


class SpecError(WhimbrelError):
    """The object itself is wrong: it waits for its author.

    Attributes:
        field: Dotted path of the field, for example ``spec.limits.lockTimeout``.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__("InvalidSpec", f"{field}: {problem}")
        self.field = field


class RefusedError(WhimbrelError):
    """Refused before anything was touched; nothing heals by itself (exit code 2)."""


class FailedError(WhimbrelError):
    """Failed, and it was read back that the database is as before (exit code 1)."""


class HeldError(WhimbrelError):
    """A human decides (with `command`), or earlier work stayed applied (exit code 3)."""


class TransientError(WhimbrelError):
    """Heals by itself: try again later, no attempt is counted (exit code 75).

    Attributes:
        retry_after: Seconds to wait before the next try.
    """

    def __init__(
        self, reason: str, message: str, *, retry_after: float = 5.0, command: str = ""
    ) -> None:
        super().__init__(reason, message, command=command)
        self.retry_after = retry_after
