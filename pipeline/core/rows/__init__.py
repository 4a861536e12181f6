"""Bytes of the input to jobs."""
