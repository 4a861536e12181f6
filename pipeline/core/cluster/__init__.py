"""Decides how several processes do one run: the plan, who holds which part of the limits, who runs which shard. No I/O."""
