"""What is said of workers that do not come or have ended, in words."""

from __future__ import annotations

from pipeline.engines.ray.actors import LEAST_NODES_CPU


def no_room(missing: int, wanted: int, free: float, whole: float) -> str:
    """Why workers do not come; "" if it is not for want of a CPU. free, whole: CPUs of the cluster."""
    if free >= LEAST_NODES_CPU:
        return ""
    wait = "waits" if missing == 1 else "wait"
    none = f"none of the {whole:g} of the cluster is free; add a node, or ask for fewer workers"
    return f"{missing:,} of {wanted:,} workers {wait} for a CPU: {none}"


def last_line(told: object) -> str:
    """Of what Ray says of a failure, the line with the cause."""
    return str(told).strip().splitlines()[-1].strip()
