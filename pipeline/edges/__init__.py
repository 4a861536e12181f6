"""What touches the world: HTTP, input and output files, the journal, signals. Thin, and nothing is decided here."""
