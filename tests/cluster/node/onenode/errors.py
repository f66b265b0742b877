"""What can go wrong, named by what the reader should do next."""


class NodeError(Exception):
    """Something the person at the terminal has to look at; the text says where."""


class NotPreparedError(NodeError):
    """The binary or an image is missing: run ``node.py prepare`` first."""


class NotRunningError(NodeError):
    """The named cluster is not up: run ``node.py up`` first."""
