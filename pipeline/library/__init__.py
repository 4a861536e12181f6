"""Calls for scripts and notebooks, and what they show there. Everything public is in `pipeline`."""
