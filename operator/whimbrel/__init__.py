"""Whimbrel: declarative database migrations for Kubernetes."""

__version__ = "0.1.0"
