"""A process of a run on Ray loads nothing that only others need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.engines.ray.lean import UNUSED

pytest.importorskip("ray")

BEGIN = f"""
import sys
import ray
from pipeline.engines.ray.lean import begin_lean
begin_lean(ray)
worker = ray._private.worker.global_worker
before = worker.get_serialization_context()
print([name for name in {UNUSED} if name in sys.modules])
assert worker.get_serialization_context() is before
import pyarrow, pydantic
print(pyarrow.__name__, pydantic.__name__)
"""


def test_ray_packs_values_without_packages_that_nobody_here_uses_and_these_can_be_imported_later() -> None:
    pytest.importorskip("pyarrow")
    pytest.importorskip("pydantic")

    said = subprocess.run([sys.executable, "-c", BEGIN], check=False, capture_output=True, text=True, timeout=120)

    assert said.stdout.splitlines() == ["[]", "pyarrow pydantic"], said.stderr
