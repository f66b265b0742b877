"""Takes passwords out of any text, however the text encodes them."""

import re
from collections.abc import Iterable
from typing import Final

MASK: Final = "***"


class Redactor:
    """Removes secrets from text: raw, percent-encoded (also in part, or twice) or JSON-escaped."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
        pattern = "|".join("".join(map(_any_spelling, secret)) for secret in known)
        self._pattern = re.compile(pattern) if pattern else None

    def clean(self, text: str) -> str:
        """Return the text with every secret replaced by asterisks."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)


def _any_spelling(character: str) -> str:
    """Return a pattern for one character in every spelling: tools mix them within one password."""
    percent = "".join(f"%(?:25)?(?i:{byte:02x})" for byte in character.encode())
    spellings = [re.escape(character), percent]
    if character == " ":
        spellings.append(r"\+")
    if character in "\"'\\":
        spellings.insert(0, r"\\" + re.escape(character))
    if character == "%":
        spellings.insert(0, "%%")  # ini files double it (ConfigParser)
    return f"(?:{'|'.join(spellings)})"
