"""Pure: what will be done. Spec and facts in, plan out."""
