"""Files that requests carry."""
