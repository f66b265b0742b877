"""Applications that draw numbers of a sequence all the while, and remember each."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from tests.checkpoint_shop import until
from tests.postgres import Postgres


@dataclass
class Drawing:
    """Numbers that were given, and what was told instead, as SQLSTATE."""

    numbers: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def wait(self, more: int = 20) -> None:
        """Wait until so many more were given."""
        goal = len(self.numbers) + more
        until(lambda: len(self.numbers) >= goal)

    def twice(self) -> list[int]:
        """Return the numbers that were given more than once."""
        return [number for number, times in Counter(self.numbers).items() if times > 1]

    def work(self, database: Postgres, statement: str) -> None:
        """Draw until it is over; an error is remembered, and the work goes on."""
        with database.connect() as session:
            while not self.over.is_set():
                try:
                    ((number,),) = session.execute(statement).fetchall()
                    self.numbers.append(number)
                except psycopg.Error as error:
                    self.errors.append(error.sqlstate or "lost")


@contextmanager
def drawing(database: Postgres, *statements: str) -> Iterator[Drawing]:
    """Let one session for each statement, which returns a number, draw while something happens."""
    drawn = Drawing()
    threads = [
        threading.Thread(target=drawn.work, args=(database, each), daemon=True)
        for each in statements
    ]
    for thread in threads:
        thread.start()
    drawn.wait()
    try:
        yield drawn
    finally:
        drawn.over.set()
        for thread in threads:
            thread.join()
