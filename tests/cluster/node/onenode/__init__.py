"""A real one-node Kubernetes from one Go binary, for the cluster tests; see ../README.md."""
