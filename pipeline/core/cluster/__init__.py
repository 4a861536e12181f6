"""Decides how several processes do one run."""
