"""Runs one config in several processes: the input is cut into shards, and each is run on its own.

plan      cuts the input, and finds ids that are used twice; the same for as long as the run lasts
rundir    the run directory: the plan, the parts that were written, and which of them are whole
shard     one shard from its first row to its whole part, with the stages of any run
collect   the parts as one output
"""
