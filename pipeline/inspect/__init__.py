"""What people ask of a run's files. Returns records, never text."""
