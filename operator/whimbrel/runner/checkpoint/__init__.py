"""Checkpoints: tables as they were, the application's writes since, and the way back."""
