"""Pure decisions: what is next, and how it is shown. No clock, no I/O, no framework."""
