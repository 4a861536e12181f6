"""Decides whether an attempt may leave now."""
