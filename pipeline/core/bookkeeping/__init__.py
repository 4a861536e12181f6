"""Which rows are done."""
