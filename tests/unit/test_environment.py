"""What a config takes from the environment: pasted mistakes are pointed out before anything is sent, and nothing is shown."""

from __future__ import annotations

import pytest

from pipeline.config import FromEnvironment, ProviderConfig
from pipeline.config.environment import credentials_of
from pipeline.errors import ConfigError
from pipeline.simulate.config import SimulateConfig

KEY = "sk-proj-abc123DEF456"


def provider(header: str = "authorization", **headers: str) -> ProviderConfig:
    values = {name: FromEnvironment(env=variable) for name, variable in headers.items()}
    return ProviderConfig(base_url="https://a.example", api_key_env="A_KEY", api_key_header=header, headers={"x-team": "labels", **values})


@pytest.mark.parametrize(
    "held, header, sent",
    [
        (KEY, "authorization", ("Authorization", f"Bearer {KEY}")),
        (f"  {KEY}\n", "Authorization", ("Authorization", f"Bearer {KEY}")),
        (KEY, "x-api-key", ("x-api-key", KEY)),
        ("Basic dXNlcjpwYXNz", "authorization", ("Authorization", "Basic dXNlcjpwYXNz")),
        ("Api-Key abc", "authorization", ("Authorization", "Api-Key abc")),
        ("abc==", "authorization", ("Authorization", "Bearer abc==")),
    ],
)
def test_the_key_is_sent_as_its_header_wants_it(held: str, header: str, sent: tuple[str, str]) -> None:
    assert credentials_of(provider(header), {"A_KEY": held}).key_header == sent


@pytest.mark.parametrize(
    "held, header, said",
    [
        ("", "authorization", "is not set"),
        (" \n", "authorization", "is not set"),
        (f'"{KEY}"', "authorization", "holds quotes"),
        (f"{KEY}'", "authorization", "holds quotes"),
        (f"Bearer {KEY}", "authorization", "starts with 'Bearer ', which headrace writes itself"),
        (f"bearer {KEY}", "x-api-key", "starts with 'Bearer ', which this header does not want"),
        (f"A_KEY={KEY}", "authorization", "holds a name and '=' before the key"),
        (f"export OPENAI_API_KEY={KEY}", "authorization", "holds a name and '=' before the key"),
        (f"{KEY} # mine", "authorization", "holds a space"),
        (f"my {KEY}", "x-api-key", "holds a space"),
        (f"{KEY}\N{CYRILLIC SMALL LETTER A}", "authorization", "holds characters that no key has"),
        (f"\N{LEFT DOUBLE QUOTATION MARK}{KEY}", "authorization", "holds characters that no key has"),
    ],
)
def test_what_was_pasted_wrongly_is_pointed_out_and_not_shown(held: str, header: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        credentials_of(provider(header), {"A_KEY": held})

    assert str(caught.value).startswith("config: provider.api_key_env: the environment variable A_KEY ")
    assert said in str(caught.value)
    assert "abc123" not in str(caught.value)


def test_a_header_takes_its_variable_as_it_is_and_all_problems_come_at_once() -> None:
    both = provider(x_gateway="B_KEY")

    shown = credentials_of(both, {"A_KEY": KEY, "B_KEY": "Bearer gateway-secret"})
    with pytest.raises(ConfigError) as caught:
        credentials_of(both, {"B_KEY": "'x'"})

    assert shown.headers == {"x-team": "labels", "x_gateway": "Bearer gateway-secret"}
    assert [problem.key for problem in caught.value.problems] == ["provider.api_key_env", "provider.headers.x_gateway.env"]


def test_secrets_are_what_came_from_the_environment_and_is_long_enough_to_be_one() -> None:
    shown = credentials_of(provider(x_gateway="B_KEY"), {"A_KEY": "EMPTY", "B_KEY": "Bearer gateway-secret"})

    assert shown.secrets == ("Bearer gateway-secret", "gateway-secret")
    assert "secret" not in repr(shown)


def test_a_simulated_provider_needs_no_variable() -> None:
    rehearsal = ProviderConfig(simulate=SimulateConfig(), api_key_env="A_KEY", headers={"x-a": FromEnvironment(env="B_KEY")})

    shown = credentials_of(rehearsal, {})

    assert (shown.key_header, shown.secrets) == (None, ())
