"""Rows out of the world."""
