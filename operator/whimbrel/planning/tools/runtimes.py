"""The interpreters of a user's image that run the wrappers of foreign tools."""

from dataclasses import dataclass
from typing import Final

Words = tuple[str, ...]


@dataclass(frozen=True)
class Runtime:
    """An interpreter, and how it takes a program as text.

    Attributes:
        names: Tried in this order on the image's PATH.
        missing: The reason word where there is none of them.
        before: Words before the text.
        after: Words between the text and the words for it.
        protocols: Files in whimbrel.runner.wrappers whose text stands in for their import: of the
            first in a wrapper, of each further one in the one before.
        imports: A regular expression for that import, with {} for the file.
        protocol_frame: What the text of such a file is put between.
        frame: What the whole text is put between.
    """

    names: Words
    missing: str
    before: Words
    after: Words
    protocols: Words
    imports: str
    protocol_frame: tuple[str, str]
    frame: tuple[str, str]


PYTHON: Final = Runtime(
    names=("python", "python3"),
    missing="PythonMissing",
    before=("-c",),
    after=(),
    protocols=("python_protocol.py",),
    imports=r"(?m)^from whimbrel\.[\w.]+ import (?:\([^)]*\)|.*)$",
    protocol_frame=("", ""),
    frame=("", ""),
)
NODE: Final = Runtime(
    names=("node", "nodejs"),
    missing="NodeMissing",
    # Said aloud: NODE_OPTIONS of the image could ask for modules.
    before=("--input-type=commonjs", "-e"),
    # Without it Node takes words that begin with a dash for its own.
    after=("--",),
    protocols=("node_protocol.js", "node_look.js"),
    imports=r"require\(\"\./{}\"\)",
    protocol_frame=("(() => {", "\nreturn module.exports;\n})()"),
    # A function: the names of a program that is given as text would be global to the project.
    frame=("(() => {", "\n})();\n"),
)
