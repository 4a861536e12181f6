"""Finds the engine of runs by several workers."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError, Problem

if TYPE_CHECKING:
    from pipeline.engines.work import Engine


def ray_engine() -> Engine:
    """What does the work with `engine.kind: ray`. Raises ConfigError, where a package is missing."""
    if find_spec("ray") is None:
        raise ConfigError([Problem("engine.kind", "ray needs a package that is not installed: pip install 'headrace[ray]'", "config")])
    from pipeline.engines.ray.driver import on_ray  # noqa: PLC0415  few runs have workers

    return on_ray
