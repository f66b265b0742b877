"""One file per migration tool: command, environment, bookkeeping, up and down."""
