"""The ways in which the hostile provider answers, all of them.

RESULTS: the row's answer is in it, whole, whatever it looks like. PASSING: no answer, and another attempt may bring one.
LASTING: the provider's last word on the row.
"""

from tests.fakes import hostile_breaks, hostile_framing, hostile_results, hostile_statuses  # noqa: F401  each enters its ways
from tests.fakes.hostile_request import LASTING, PASSING, RESULTS, WAYS

__all__ = ["LASTING", "PASSING", "RESULTS", "WAYS"]
