"""Plain SQL files in a directory."""

from collections.abc import Sequence
from pathlib import Path

from tests.matrix.server import Server

TEXT = {"postgresql": "text", "mariadb": "varchar(255)"}
FIRST = (
    ("create_people", ("CREATE TABLE people (id bigint PRIMARY KEY, name {text} NOT NULL)",
      "INSERT INTO people VALUES (1, 'Ada Lovelace'), (2, 'Grace Hopper')"),
     ("DROP TABLE people",)),
    ("fill_email", ("ALTER TABLE people ADD COLUMN email {text}",
      "UPDATE people SET email = concat(lower(replace(name, ' ', '.')), '@example.com')"),
     ("ALTER TABLE people DROP COLUMN email",)),
    ("email_is_unique", ("ALTER TABLE people ADD CONSTRAINT people_email_key UNIQUE (email)",),
     ("ALTER TABLE people DROP CONSTRAINT people_email_key",)),
)  # fmt: skip


class SqlProject:
    """Pairs of up and down files."""

    table = "people"
    interpreters = ()

    def __init__(self, folder: Path, server: Server) -> None:
        """Write the first three."""
        self.folder = folder
        self.folder.mkdir()
        self.revisions: list[str] = []
        self.migrations = {"tool": "sql", "image": "shop:1", "sql": {"path": "/app"}}
        text = TEXT[server.kind]
        for title, up, down in FIRST:
            self.add(title, [each.format(text=text) for each in up], down)

    def add(self, title: str, up: Sequence[str], down: Sequence[str]) -> None:
        """Write one more pair."""
        there = list(self.folder.glob(f"*_{title}.up.sql"))
        number = int(there[0].name[:3]) if there else len(self.revisions) + 1
        if not there:
            self.revisions.append(f"{number:03}")
        for word, statements in (("up", up), ("down", down)):
            text = "".join(f"{each};\n" for each in statements)
            (self.folder / f"{number:03}_{title}.{word}.sql").write_text(text)

    def edit(self, revision: str) -> str:
        """Add a comment."""
        (file,) = self.folder.glob(f"{revision}_*.up.sql")
        file.write_text(file.read_text() + "-- a thought that came later\n")
        return file.name

    def version(self) -> str:
        """Return nothing but the name: it is ours."""
        return "plain SQL"
