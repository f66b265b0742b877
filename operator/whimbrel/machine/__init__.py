"""Pure: what is next. Plan and observations in, decision, phase and conditions out."""
