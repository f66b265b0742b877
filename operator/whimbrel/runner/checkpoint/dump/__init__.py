"""A dump of the whole database: made before a run, kept, and put back where a person allows it."""
