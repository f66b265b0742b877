"""A release after its migration: health checks, traffic, soak, and the way back."""
