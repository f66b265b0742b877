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
        protocol: The file in whimbrel.runner.wrappers whose text stands in for a wrapper's import.
        imports: A regular expression for that import.
        protocol_frame: What the protocol's text is put between.
        frame: What the whole text is put between.
    """

    names: Words
    missing: str
    before: Words
    after: Words
    protocol: str
    imports: str
    protocol_frame: tuple[str, str]
    frame: tuple[str, str]


PYTHON: Final = Runtime(
    names=("python", "python3"),
    missing="PythonMissing",
    before=("-c",),
    after=(),
    protocol="python_protocol.py",
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
    protocol="node_protocol.js",
    imports=r"require\(\"\./node_protocol\.js\"\)",
    protocol_frame=("(() => {", "\nreturn module.exports;\n})()"),
    # A function: the names of a program that is given as text would be global to the project.
    frame=("(() => {", "\n})();\n"),
)
