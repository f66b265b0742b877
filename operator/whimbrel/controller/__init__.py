"""Process 1: kopf and the Kubernetes API. Never opens a database, never reads a Secret."""
