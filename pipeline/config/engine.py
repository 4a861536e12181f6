"""The config's `engine` section: by how many processes a run is done, and where.

As in `schema`, the annotations are read at run time, so they must stay real types.
"""

from enum import Enum

from attrs import field, frozen

from pipeline.config.rules import above, at_least, must, not_empty, typed


class EngineKind(Enum):
    """What runs a config: this process, or the workers of a Ray cluster."""

    LOCAL = "local"
    RAY = "ray"


class Collect(Enum):
    """What becomes of the parts at the end: one file, or they stay as they are."""

    FILE = "file"
    PARTS = "parts"


@frozen(kw_only=True, field_transformer=typed)
class RayConfig:
    """Several workers on a Ray cluster.

    address: "local" starts a cluster on this machine for the run; "auto" takes the one that this machine is a node of; else host:port.
    workers: processes that send; None is one for each node. shard_rows: of one shard. run_dir: seen by every node; None is beside the
    sink. node_loss_seconds: without a word from the coordinator for so long, a worker sends nothing. segment_seconds: how often results
    are copied to a run directory that is not a folder.
    """

    address: str = field(default="local", validator=must(not_empty))
    workers: int | None = field(default=None, validator=must(at_least(1)))
    shard_rows: int = field(default=100_000, validator=must(at_least(1)))
    run_dir: str | None = field(default=None, validator=must(not_empty))
    collect: Collect = Collect.FILE
    node_loss_seconds: float = field(default=3.0, validator=must(above(0)))
    segment_seconds: float = field(default=10.0, validator=must(above(0)))


@frozen(kw_only=True, field_transformer=typed)
class EngineConfig:
    """What runs the config. ray: used with `kind: ray` alone."""

    kind: EngineKind = EngineKind.LOCAL
    ray: RayConfig = field(factory=RayConfig)
