"""The words of a release: checks, sides, workloads, and what is measured."""
