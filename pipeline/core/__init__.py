"""What the product decides. No trio, clock, randomness, log, socket or file: `now` and `draw` are arguments, a record comes back."""
