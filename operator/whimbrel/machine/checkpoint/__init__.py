"""What becomes of a checkpoint that is kept: its time, and its end."""
