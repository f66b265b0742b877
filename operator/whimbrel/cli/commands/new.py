"""`whimbrel new NAME`: the next numbered pair of files."""

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from whimbrel.cli.options import Place, command_app, grouped
from whimbrel.cli.screen import answer
from whimbrel.model.errors import RefusedError

UP: Final = "-- What this migration does, in one sentence.\n"
DOWN: Final = "-- Takes {up} back. What it had added is salvaged before this runs.\n"
_NUMBERED: Final = re.compile(r"^(\d+)_.*\.up\.sql$")

app = command_app()


@app.command()
@grouped
def new(
    place: Place,
    name: Annotated[str, typer.Argument(help="What the migration does, for example add_email.")],
    directory: Annotated[Path, typer.Option("--dir", help="Directory of the files.")] = Path(),
) -> None:
    """Write the next NNN_NAME.up.sql and its .down.sql."""
    pair = write_pair(directory, name)
    names = [str(path) for path in pair]
    answer(place.form, {"files": names}, "\n".join(names))


def write_pair(directory: Path, name: str) -> tuple[Path, Path]:
    """Write an up and a down file with the next number; never overwrite one."""
    word = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not word:
        raise RefusedError("BadName", f"{name!r} holds no letter or digit to name a file with")
    directory.mkdir(parents=True, exist_ok=True)
    number = next_number([path.name for path in directory.iterdir()])
    up = directory / f"{number}_{word}.up.sql"
    down = directory / f"{number}_{word}.down.sql"
    for path, text in ((up, UP), (down, DOWN.format(up=up.name))):
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return up, down


def next_number(names: list[str]) -> str:
    """Return the number after the highest, as wide as the widest."""
    numbers = [match[1] for name in names if (match := _NUMBERED.match(name))]
    width = max((len(number) for number in numbers), default=3)
    return str(max((int(number) for number in numbers), default=0) + 1).zfill(width)
