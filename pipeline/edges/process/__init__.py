"""The process itself: signals, descriptors, collector."""
