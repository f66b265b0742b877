"""Where a person is needed: what is printed works exactly as it is printed."""
