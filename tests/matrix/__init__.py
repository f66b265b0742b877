"""The matrix tool x database x case: every cell a real process against a real server."""
