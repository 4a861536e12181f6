"""What moves rows: one stage a file, joined by bounded channels. Each closes the channel ends that it is given."""
