"""Process 2, inside Jobs: the database. Never talks to Kubernetes."""
