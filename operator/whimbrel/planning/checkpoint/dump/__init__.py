"""What is done to have a dump, and with it: pure."""
