"""A digest over all that decides what a project's `inspect` says, read without starting it."""

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import Final

from whimbrel.planning.tools.project import Look
from whimbrel.planning.tools.registry import foreign_tool
from whimbrel.runner.local_look import ENVIRON
from whimbrel.runner.run_tool import ToolPlace, wrapper_text
from whimbrel.runner.target import Target

# Bytecode follows from its source; what packages hold is looked at where it was used.
LEFT_OUT: Final = (".git", "__pycache__", "node_modules")
# Another one in each Pod, and of no project's concern; at a terminal what a shell counts.
_PASSING: Final = re.compile(rb"(HOSTNAME|KUBERNETES_\w+|_|SHLVL|PWD|OLDPWD)=")


@dataclass(frozen=True)
class ImageDigest:
    """What was seen of an image.

    Attributes:
        value: sha256, in hex.
        changed: When the newest of it was changed, in seconds since the epoch.
    """

    value: str
    changed: float


@dataclass
class _Seen:
    """Takes what a look finds, in whatever order, and keeps one digest of each."""

    found: dict[tuple[str, str], str] = field(default_factory=dict)
    changed: float = 0.0
    key: tuple[str, str] = ("", "")
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    environ: bytes = b""

    def entry(self, kind: str, path: str, changed: float) -> None:
        """Take the next thing that was found."""
        self._end()
        self.key, self.digest = (kind, path), hashlib.sha256()
        self.changed = max(self.changed, 0.0 if path == ENVIRON else changed)

    def content(self, data: bytes) -> None:
        """Take the next bytes of it."""
        if self.key[1] == ENVIRON:
            self.environ += data
        else:
            self.digest.update(data)

    def end(self) -> dict[str, str]:
        """Return a digest for each thing that was found."""
        self._end()
        lasting = sorted(each for each in self.environ.split(b"\0") if not _PASSING.match(each))
        environ = hashlib.sha256(b"\0".join(lasting)).hexdigest()
        return {"environ": environ} | {" ".join(key): value for key, value in self.found.items()}

    def _end(self) -> None:
        if self.key[1] != ENVIRON:
            self.found[self.key] = self.digest.hexdigest()


def image_digest(place: ToolPlace, target: Target, look: Look) -> ImageDigest | None:
    """Return the digest, or None where not all of it could be read.

    Args:
        place: Where the tool would run.
        target: The database of its URL; the password is no part of the digest.
        look: What its last `inspect` read besides its working directory.
    """
    migrations = place.spec.migrations
    if any(each.value_from is not None for each in migrations.env):
        return None
    seen = _Seen()
    words = [*(f"x{name}" for name in LEFT_OUT), f"f{ENVIRON}"]
    words += [*(f"f{path}" for path in look.files), *(f"n{path}" for path in look.folders)]
    problem = place.tool.look(migrations.working_dir or "", words, seen)
    if problem:
        place.report(f"what the image holds is not compared with the last run: {problem}")
        return None
    asked = [
        migrations.model_dump_json(),
        wrapper_text(foreign_tool(migrations.tool).started),
        repr(replace(target, password="")),
        seen.end(),
    ]
    text = json.dumps(asked, sort_keys=True)
    return ImageDigest(hashlib.sha256(text.encode()).hexdigest(), seen.changed)
