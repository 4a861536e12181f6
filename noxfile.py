"""The tests on every Python that is supported: `make matrix`, or `nox -s tests-3.12` for one.

Versions that the machine does not have are passed over, and nox says so.
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ["3.11", "3.12", "3.13"]  # as in the classifiers of pyproject.toml


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests, with the pinned dependencies. Arguments after `--` go to pytest."""
    session.install("--require-hashes", "-r", "requirements/test.txt")
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")
    session.run("python", "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal", *session.posargs)
