"""A run's files: how it begins, resumes and is rebuilt."""
