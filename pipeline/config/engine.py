"""The config's `engine` section: by how many processes a run is done, and where.

As in `schema`, the annotations are read at run time, so they must stay real types.
"""

from enum import Enum
from typing import Annotated

from msgspec import field

from pipeline.config.rules import above, at_least, not_empty
from pipeline.config.sections import Section


class EngineKind(Enum):
    """What runs a config: this process, or the workers of a Ray cluster."""

    LOCAL = "local"
    RAY = "ray"


class Collect(Enum):
    """What becomes of the parts at the end: one file, or they stay as they are."""

    FILE = "file"
    PARTS = "parts"


class RayConfig(Section, frozen=True, kw_only=True):
    """Several workers on a Ray cluster.

    address: "local" starts a cluster on this machine for the run; "auto" takes the one that this machine is a node of; else host:port.
    workers: processes that send; None is one for each node. shard_rows: of one shard. run_dir: seen by every node; None is beside the
    sink. node_loss_seconds: without a word from the coordinator for so long, a worker sends nothing. segment_seconds: how often results
    are copied to a run directory that is not a folder.
    """

    address: Annotated[str, not_empty] = "local"
    workers: Annotated[int | None, at_least(1)] = None
    shard_rows: Annotated[int, at_least(1)] = 100_000
    run_dir: Annotated[str | None, not_empty] = None
    collect: Collect = Collect.FILE
    node_loss_seconds: Annotated[float, above(0)] = 3.0
    segment_seconds: Annotated[float, above(0)] = 10.0


class EngineConfig(Section, frozen=True, kw_only=True):
    """What runs the config. ray: used with `kind: ray` alone."""

    kind: EngineKind = EngineKind.LOCAL
    ray: RayConfig = field(default_factory=RayConfig)
