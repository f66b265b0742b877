"""Process 3, at a terminal."""
