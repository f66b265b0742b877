"""Work beside the attempt's own: on a thread that lives as long as a block."""

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Beside(ABC):
    """Works on a thread of its own from the start of a block to its end.

    Attributes:
        over: Set at the end of the block; `work` returns then.
    """

    def __init__(self, name: str, *, patience: float | None = None) -> None:
        """Name the thread; at the end it is waited for, `patience` seconds at most."""
        self.over = threading.Event()
        self._patience = patience
        self._thread = threading.Thread(target=self.work, name=name, daemon=True)

    @abstractmethod
    def work(self) -> None:
        """Do what is to be done until it is over."""

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell it that it is over, and wait for its end."""
        self.over.set()
        self._thread.join(self._patience)
