"""A digest over all that decides what a project's `inspect` says, without starting it."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from whimbrel.model.spec import Spec
from whimbrel.planning.tools.project import Look

# Bytecode follows from its source; what packages hold is looked at where it was used.
LEFT_OUT: Final = (".git", "__pycache__", "node_modules")
ENVIRON: Final = "/proc/self/environ"  # of the program that reads, which starts the tool
# Another one in each Pod, and of no project's concern; at a terminal what a shell counts.
_PASSING: Final = re.compile(rb"(HOSTNAME|KUBERNETES_\w+|_|SHLVL|PWD|OLDPWD)=")

# The time of a change lags behind the clock: by a tick of the kernel (10 ms at most), or, where a
# file system knows whole seconds only, by up to two of them.
_TICK: Final = 0.05
_WHOLE_SECONDS: Final = 2.0


def words(look: Look) -> Iterator[str]:
    """Return what is to be read besides the working directory, as `Tool.look` takes it."""
    yield from (f"x{name}" for name in LEFT_OUT)
    yield from (f"f{path}" for path in (ENVIRON, *look.files))
    yield from (f"n{path}" for path in look.folders)


@dataclass
class ImageDigest:
    """Takes what a look finds, in whatever order, and keeps one digest of each.

    Attributes:
        settled: From when on (seconds since the epoch) another change of it has another time.
    """

    found: dict[tuple[str, str], "hashlib._Hash"] = field(default_factory=dict)
    settled: float = 0.0
    newest: tuple[str, str] = ("", "")
    environ: bytes = b""

    def entry(self, kind: str, path: str, changed: float) -> None:
        """Take the next thing that was found."""
        self.newest = (kind, path)
        self.found[self.newest] = hashlib.sha256()
        if changed and path != ENVIRON:
            tick = _WHOLE_SECONDS if changed.is_integer() else _TICK
            self.settled = max(self.settled, changed + tick)

    def content(self, data: bytes) -> None:
        """Take the next bytes of it."""
        if self.newest[1] == ENVIRON:
            self.environ += data
        else:
            self.found[self.newest].update(data)

    def over(self, spec: Spec, wrapper: str, address: str) -> str:
        """Return the digest (sha256, hex) of what was found and of what is asked.

        Args:
            spec: What is asked of the tool.
            wrapper: Text of its wrapper: another one may find more.
            address: Of the database, without the password.
        """
        lasting = sorted(each for each in self.environ.split(b"\0") if not _PASSING.match(each))
        found = sorted((*key, each.hexdigest()) for key, each in self.found.items())
        environ = hashlib.sha256(b"\0".join(lasting)).hexdigest()
        asked = [spec.migrations.model_dump_json(), wrapper, address, environ, found]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()
