"""A result as a line or as cells."""
