"""The other ways to send a file of prompts, each in its simplest idiomatic form, written for this comparison.

Each module is a program: `python -m benchmarks.peers.NAME TASK.json`. What it is told and what it reports is in `task`.
"""
