"""Checkpoints: taken before a migration, restored without losing a write that was made since."""
