"""Checkpoints at a terminal."""
