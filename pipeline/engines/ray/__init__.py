"""Runs the shards of a run by the workers of a Ray cluster. Ray places and restarts them; no row passes through it.

driver       starts the cluster, the coordinator and the workers, and waits for them
coordinator  the actor around `core/cluster/coordination`: parks what waits for news, and saves the ages of the permits
worker       one process that sends: shards one after the other, the next one begun when the last one's input is read
link         a worker's side of the one message: keeps its lanes in step with the run
starting     joins or starts a cluster
words        what is said of workers that do not come or have ended
"""
