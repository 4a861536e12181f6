"""The Files and Batches API as values: objects, statuses, errors, what a request may say and what a line must be."""
