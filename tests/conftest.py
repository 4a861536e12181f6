"""Settings that all tests share; nothing a single test needs.

Hypothesis runs by the profile named in HYPOTHESIS_PROFILE (`ci` where the variable CI is set, else `dev`): `ci` takes the same
examples every time and keeps no database, so that a red run is red for everybody; `dev` looks for new examples; `mutation` takes a
few of those of `ci`.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# Tests run whole trio programs per example, so a slow example says more of the machine than of the code.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, database=None, print_blob=True)
settings.register_profile("mutation", settings.get_profile("ci"), max_examples=25)  # once per mutant: see CONTRIBUTING.md
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(params=["told together", "asking trio"])
def any_readiness(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which connections learn that something has come: that of many, and that of few."""
    if request.param == "told together":
        monkeypatch.setattr("pipeline.edges.http.watch.FEW", 0)


@pytest.fixture(autouse=True, scope="session")
def _signals_as_in_a_terminal() -> Iterator[None]:
    """Heed signals even where the tests were started with them ignored (`make test &`, `nohup make test`): their processes would too."""
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: lambda *_: None}  # what has a handler is not ignored after exec
    before = {number: signal.signal(number, handler) for number, handler in handlers.items() if signal.getsignal(number) is signal.SIG_IGN}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
