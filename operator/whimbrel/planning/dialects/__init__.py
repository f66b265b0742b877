"""Quoting and statements as text, one file per database."""
