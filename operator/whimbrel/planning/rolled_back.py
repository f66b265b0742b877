"""What was rolled back is not tried again by itself."""

from whimbrel.model.errors import HeldError


def was_rolled_back(owner: str, what: str) -> HeldError:
    """Return the refusal of another try, until a person asks for it."""
    namespace, _, name = owner.partition("/")
    return HeldError(
        "WasRolledBack",
        f"{what} was rolled back and is not tried again; retry it, or give the object another spec",
        command=f"whimbrel retry {name} -n {namespace}",
    )
