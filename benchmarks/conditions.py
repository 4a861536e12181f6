"""Under what conditions something was measured: without them a figure says nothing."""

from __future__ import annotations

import os
import platform
import subprocess
import sysconfig
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.subjects import SUBJECTS, version_of


def conditions() -> dict[str, Any]:
    """The machine, the software and the hour."""
    versions = {name: found for subject in SUBJECTS.values() for name, found in subject.versions().items() if found}
    versions |= {name: version_of(name) for name in ("uvloop", "httptools")}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "build": build(),
        "revision": revision(),
        "load": os.getloadavg(),
        "versions": dict(sorted(versions.items())),
    }


def build() -> str:
    """How Python was compiled: one that was optimised by a profile runs all of this some 5 % faster."""
    options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    flags = str(sysconfig.get_config_var("PY_CFLAGS") or "") + str(sysconfig.get_config_var("PGO_PROF_USE_FLAG") or "")
    parts = [
        "PGO" if "--enable-optimizations" in options else "no PGO",
        "LTO" if "--with-lto" in options or "-flto" in flags else "no LTO",
        "shared library" if sysconfig.get_config_var("Py_ENABLE_SHARED") else "static",
    ]
    return ", ".join(parts)


def cpu_model() -> str:
    """As the system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def revision() -> str:
    """The commit that is checked out, with "+" if files differ from it; "" outside a repository."""
    here = Path(__file__).parent
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"], cwd=here, capture_output=True, text=True, check=False
    )
    return described.stdout.strip()
