"""Applications that draw numbers of a sequence all the while, and remember each."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from tests.checkpoint_shop import until
from tests.postgres import Postgres

Work = str | tuple[str, str]  # what returns a number; in one transaction with it what takes it


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

    def work(self, database: Postgres, work: Work) -> None:
        """Draw until it is over; an error is remembered, and the work goes on."""
        draw, *take = (work,) if isinstance(work, str) else work
        with database.connect() as session:
            while not self.over.is_set():
                try:
                    with session.transaction():
                        ((number,),) = session.execute(draw).fetchall()
                        for statement in take:
                            session.execute(statement, (number,))
                    self.numbers.append(number)
                    if take:  # who writes as well has other work too
                        self.over.wait(0.005)
                except psycopg.Error as error:
                    self.errors.append(error.sqlstate or "lost")


@contextmanager
def drawing(database: Postgres, *works: Work) -> Iterator[Drawing]:
    """Let one session for each work draw while something happens."""
    drawn = Drawing()
    threads = [
        threading.Thread(target=drawn.work, args=(database, each), daemon=True) for each in works
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
