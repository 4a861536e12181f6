"""The OpenAI Files and Batches API over HTTP: one server, one data folder, one run for all batches."""
