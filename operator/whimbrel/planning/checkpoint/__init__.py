"""The ladder of a checkpoint: what covers a plan, at what cost, and what it cannot restore."""
