"""What a simulated provider can be told, and what it says of wrong settings."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.simulate import Distribution, Fault, LatencyConfig, SimulateConfig, SimulatedLimits
from pipeline.simulate.script import Script, Step, parse_steps, step_for


def test_defaults_are_a_provider_without_latency_limits_or_faults() -> None:
    config = SimulateConfig()

    assert config.latency.median_seconds == 0
    assert config.limits.requests_per_minute is None
    assert not config.faults


def test_key_is_not_shown() -> None:
    assert "sk-secret" not in repr(SimulateConfig(api_key="sk-secret"))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"faults": {"http_555": 0.1}}, "faults.http_555: no fault is named 'http_555'; there are http_400, "),
        ({"faults": {"http_500": 1.5}}, "faults.http_500 must be a share between 0 and 1, got 1.5"),
        ({"faults": {"http_500": 0.6, "stall": 0.6}}, "faults must sum to at most 1, got 1.2"),
        ({"script": {"17": "sulk"}}, "script.17: no fault is named 'sulk'"),
        ({"script": {"17": "http_500 twice"}}, "script.17: a step is FAULT, ok or SECONDSs, each with *COUNT or *, got 'http_500 twice'"),
        ({"script": {"": "stall"}}, "script has an empty key"),
        ({"faulty_attempts": -1}, "faulty_attempts must be >= 0, got -1"),
        ({"drip_seconds": 0}, "drip_seconds must be between 0.001 and 3600, got 0"),
    ],
)
def test_wrong_setting_is_refused_with_its_name_and_value(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        SimulateConfig(**wrong)

    assert str(caught.value).startswith(message)


def test_wrong_latency_and_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="spread must be between 0 and 1 for uniform"):
        LatencyConfig(distribution=Distribution.UNIFORM, spread=2)
    with pytest.raises(ValueError, match="requests_per_minute must be > 0, got 0"):
        SimulatedLimits(requests_per_minute=0)


def test_script_lists_attempts() -> None:
    steps = parse_steps("stall, http_500*2, 0.5s, ok")

    assert [step_for(steps, attempt) for attempt in range(1, 7)] == [
        Step(Fault.STALL),
        Step(Fault.HTTP_500, count=2),
        Step(Fault.HTTP_500, count=2),
        Step(None, 0.5),
        Step(),
        Step(),
    ]


def test_script_step_with_a_bare_star_lasts_for_ever() -> None:
    assert step_for(parse_steps("http_429, http_500*"), 1000).fault is Fault.HTTP_500


@pytest.mark.parametrize(
    "text, fault",
    [
        ("row 17 of 23", Fault.UNAUTHORIZED_401),
        ("row 0017", Fault.UNAUTHORIZED_401),
        ("row 117", None),
        ("row 23, 17", None),
        ("the capital of France", Fault.STALL),
        ("17 capital letters", Fault.UNAUTHORIZED_401),
        ("", None),
    ],
)
def test_script_key_is_the_first_number_or_a_part_of_the_text(text: str, fault: Fault | None) -> None:
    script = Script({"17": "unauthorized_401", "capital": "stall"})

    steps = script.find(text)

    assert (steps[0].fault if steps else None) is fault
