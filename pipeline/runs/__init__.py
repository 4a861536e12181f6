"""One run, from config to summary."""
