"""Text that travels in a termination message: compressed, as printable characters."""

import base64
import zlib


def pack_text(text: str) -> str:
    """Return text compressed, in base 64."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpack_text(packed: str) -> str:
    """Return the text of `pack_text`."""
    return zlib.decompress(base64.b64decode(packed)).decode()
